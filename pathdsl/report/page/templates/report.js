"use strict";
// Extras alone: without this script everything is there to be read.
for (const drawn of document.querySelectorAll(".drawn")) {
  const told = drawn.querySelector(".told");
  const units = drawn.querySelectorAll(".unit");
  const edges = drawn.querySelectorAll(".circuit .edge");
  const still = told.textContent;
  told.hidden = false;
  const show = (unit) => {
    told.classList.add("live");
    told.textContent = unit.querySelector("title").textContent.replace(/\n/g, " · ");
    for (const edge of edges) {
      edge.classList.toggle("dim", !edge.dataset.ends.split(" ").includes(unit.dataset.unit));
    }
  };
  // Back to the unit that has the keyboard, if one has.
  const rest = () => {
    const active = document.activeElement;
    if (active && active.matches(".unit") && drawn.contains(active)) return show(active);
    told.classList.remove("live");
    told.textContent = still;
    for (const edge of edges) edge.classList.remove("dim");
  };
  for (const unit of units) {
    unit.addEventListener("mouseenter", () => show(unit));
    unit.addEventListener("focus", () => show(unit));
    unit.addEventListener("mouseleave", rest);
    unit.addEventListener("blur", () => setTimeout(rest));
  }
}
for (const file of document.querySelectorAll(".file")) {
  const tools = file.querySelector(".tools");
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
