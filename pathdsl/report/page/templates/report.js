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
  for (const edge of edges) {
    edge.addEventListener("mouseenter", () => {
      told.classList.add("live");
      told.textContent = edge.querySelector("title").textContent;
    });
    edge.addEventListener("mouseleave", rest);
  }
  for (const unit of units) {
    unit.addEventListener("mouseenter", () => show(unit));
    unit.addEventListener("focus", () => show(unit));
    unit.addEventListener("click", () => unit.focus());
    unit.addEventListener("mouseleave", rest);
    unit.addEventListener("blur", () => setTimeout(rest));
  }
}
for (const pictured of document.querySelectorAll(".pictured")) {
  const told = pictured.querySelector(".told");
  const still = told.textContent;
  const cells = [...pictured.querySelectorAll(".cell")];
  const at = cells.map((cell) => cell.dataset.at.split(" ").map(Number));
  told.hidden = false;
  const tell = (cell) => {
    told.classList.toggle("live", cell !== null);
    told.textContent = cell ? cell.querySelector("title").textContent : still;
  };
  const rest = () => {
    const active = document.activeElement;
    tell(active && active.matches(".cell") && pictured.contains(active) ? active : null);
  };
  const ways = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  // The nearest cell in that direction, then the panel before or behind this one.
  const next = (from, [down, right]) => {
    const panel = cells[from].dataset.panel;
    let best = -1, least = Infinity;
    for (let i = 0; i < cells.length; i += 1) {
      if (cells[i].dataset.panel !== panel) continue;
      const [row, column] = [at[i][0] - at[from][0], at[i][1] - at[from][1]];
      const along = row * down + column * right;
      const aside = Math.abs(row * right) + Math.abs(column * down);
      if (along > 0 && aside === 0 && along < least) [best, least] = [i, along];
    }
    for (let i = from; best < 0 && i in cells; i += down + right) {
      if (cells[i].dataset.panel !== panel) best = i;
    }
    return best;
  };
  // One cell of a picture takes the keyboard: the last that was gone to.
  const reach = (cell) => {
    for (const other of cells) other.setAttribute("tabindex", "-1");
    cell.setAttribute("tabindex", "0");
    cell.focus();
  };
  cells.forEach((cell, i) => {
    cell.addEventListener("mouseenter", () => tell(cell));
    cell.addEventListener("click", () => reach(cell));
    cell.addEventListener("mouseleave", rest);
    cell.addEventListener("focus", () => tell(cell));
    cell.addEventListener("blur", () => setTimeout(rest));
    cell.addEventListener("keydown", (event) => {
      if (!(event.key in ways)) return;
      event.preventDefault();
      const to = cells[next(i, ways[event.key])];
      if (!to) return;
      reach(to);
    });
  });
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
const closed = [];
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    closed.push(part);
    part.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const part of closed.splice(0)) part.open = false;
});
