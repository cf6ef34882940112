// The little that a page cannot do without a script: rating an answer, keeping the newest words
// in sight, and folding the list of conversations on a phone.
"use strict";

async function rate(answer, value, comment) {
  const response = await fetch("/api/feedback", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ answer_id: Number(answer), value, comment }),
  });
  if (!response.ok) throw new Error((await response.json()).error || "That did not work.");
}

function say(place, text) {
  const line = document.createElement("span");
  line.setAttribute("role", "status");
  line.textContent = text;
  place.querySelectorAll("form, [role=status]").forEach((old) => old.remove());
  place.append(line);
}

function askWhy(place, answer, value) {
  const form = document.createElement("form");
  const input = document.createElement("input");
  const send = document.createElement("button");
  input.placeholder = value > 0 ? "What was good? (optional)" : "What is wrong? (optional)";
  input.setAttribute("aria-label", input.placeholder);
  input.maxLength = 2000;
  send.textContent = "Send";
  form.append(input, send);
  place.querySelectorAll("form, [role=status]").forEach((old) => old.remove());
  place.append(form);
  input.focus();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await rate(answer, value, input.value);
      say(place, "Thank you.");
    } catch (error) {
      say(place, error.message);
    }
  });
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-rate]");
  if (!button) return;
  const place = button.closest(".rate");
  const pressed = button.getAttribute("aria-pressed") === "true";
  const value = pressed ? 0 : Number(button.dataset.rate);
  try {
    await rate(place.dataset.answer, value, "");
  } catch (error) {
    say(place, error.message);
    return;
  }
  place.querySelectorAll("[data-rate]").forEach((each) => {
    each.setAttribute("aria-pressed", String(value !== 0 && each === button));
  });
  if (value === 0) say(place, "");
  else askWhy(place, place.dataset.answer, value);
});

// While an answer grows, stay at the end, unless the reader has scrolled up to read.
let atEnd = true;
addEventListener("scroll", () => {
  const page = document.documentElement;
  atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 140;
}, { passive: true });
new MutationObserver(() => {
  const growing = document.querySelector(".answer.stage-writing, .answer.stage-searching");
  if (growing && atEnd) scrollTo({ top: document.documentElement.scrollHeight });
}).observe(document.documentElement, { childList: true, subtree: true, characterData: true });

// A number typed into the hash of a source page is only an anchor: bring the passage into sight.
addEventListener("load", () => {
  document.querySelector("header nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  document.getElementById("passage")?.scrollIntoView({ block: "center" });
});

document.addEventListener("click", (event) => {
  if (event.target.closest("#show-conversations")) document.body.classList.toggle("show-shelf");
  else if (event.target.closest("#conversations label")) document.body.classList.remove("show-shelf");
});
