// Keyboard: / query, d time, j k rows, Enter open, Esc close, [ ] turns, n p marks, f find, ? this list.
// Single keys never act in a field.

const rows = () => [...document.querySelectorAll("tbody .when a, tbody th[scope=row] a")];
const turns = () => [...document.querySelectorAll("article.turn")];
const marks = () => [...document.querySelectorAll(".line.danger > summary, .turn .tag.danger")];

function step(items, by) {
  const at = items.findIndex((item) => item === document.activeElement || item.contains(document.activeElement));
  const next = items[Math.min(Math.max(at + by, 0), items.length - 1)];
  if (!next) return;
  if (next.tabIndex < 0) next.tabIndex = -1;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

function turn(by) {
  const all = turns();
  const top = all.findIndex((it) => it.getBoundingClientRect().bottom > 80);
  all[Math.min(Math.max(top + by, 0), all.length - 1)]?.scrollIntoView();
}

const actions = {
  "/": () => document.querySelector("input[type=search]")?.focus(),
  d: () => document.querySelector(".times > summary")?.click(),
  j: () => step(rows(), 1),
  k: () => step(rows(), -1),
  ArrowDown: (event) => rows().includes(document.activeElement) && (step(rows(), 1), event.preventDefault()),
  ArrowUp: (event) => rows().includes(document.activeElement) && (step(rows(), -1), event.preventDefault()),
  "]": () => turn(1),
  "[": () => turn(-1),
  n: () => step(marks(), 1),
  p: () => step(marks(), -1),
  f: () => document.getElementById("find")?.focus(),
  Escape: () => document.querySelector(".panel .close")?.click(),
};

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, [contenteditable]");
  if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
  const action = actions[event.key];
  if (!action) return;
  if (event.key.length === 1) event.preventDefault();
  action(event);
});
