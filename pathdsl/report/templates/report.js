"use strict";
// Extras alone: without this script everything is there to be read.
for (const file of document.querySelectorAll(".file")) {
  const tools = file.querySelector(".tools");
  const told = file.querySelector(".told");
  const units = file.querySelectorAll(".unit");
  if (told) {
    const still = told.textContent;
    told.hidden = false;
    for (const unit of units) {
      const show = () => { told.textContent = unit.querySelector("title").textContent.replace(/\n/g, " · "); };
      const rest = () => { told.textContent = still; };
      unit.addEventListener("mouseenter", show);
      unit.addEventListener("focus", show);
      unit.addEventListener("mouseleave", rest);
      unit.addEventListener("blur", rest);
    }
  }
  if (!tools) continue;
  tools.hidden = false;
  const choice = tools.querySelector("select");
  choice.addEventListener("change", () => {
    const key = choice.value;
    for (const part of file.querySelectorAll("[data-claim]")) {
      part.hidden = key !== "" && part.dataset.claim !== key;
    }
    for (const part of file.querySelectorAll(".circuit [data-claims]")) {
      const away = key !== "" && !part.dataset.claims.split(" ").includes(key);
      part.classList.toggle("away", away);
    }
  });
}
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
