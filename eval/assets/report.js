"use strict";
(() => {
  const questions = [...document.querySelectorAll("details.question")];
  const fields = [...document.querySelectorAll(".filters [data-filter]")];
  const shown = document.getElementById("shown");
  const wanted = (question, field) => {
    const value = field.value.trim().toLowerCase();
    if (!value) return true;
    if (field.dataset.filter === "text") return question.textContent.toLowerCase().includes(value);
    return question.dataset[field.dataset.filter].split("|").includes(value);
  };
  const apply = () => {
    let count = 0;
    for (const question of questions) {
      question.hidden = !fields.every((field) => wanted(question, field));
      if (!question.hidden) count += 1;
    }
    shown.textContent = `${count} of ${questions.length} questions`;
  };
  let timer = 0;
  const soon = () => { clearTimeout(timer); timer = setTimeout(apply, 150); };
  fields.forEach((field) => field.addEventListener("input", soon));
  addEventListener("beforeprint", () => questions.forEach((q) => { if (!q.hidden) q.open = true; }));
  apply();
})();
