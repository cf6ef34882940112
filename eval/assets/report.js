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
  // Paper cannot be unfolded; what was shut is shut again afterwards.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open]):not([hidden])")];
    unfolded.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => unfolded.forEach((one) => { one.open = false; }));
  apply();
})();
