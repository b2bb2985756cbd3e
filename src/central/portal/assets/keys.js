// The keys that the list under ? names. Single keys never act in a field, and can be switched off.

const seen = (part) => part.checkVisibility();
const rows = () => [...document.querySelectorAll("main tbody th[scope=row] a")].filter(seen);
const turns = () => [...document.querySelectorAll("article.turn")];
const marks = () => [...document.querySelectorAll(".line.danger > summary, .turn .tag.danger, mark")].filter(seen);
const inField = "input, select, textarea, [contenteditable]";

function step(items, by, block = "nearest") {
  const at = items.findIndex((item) => item === document.activeElement || item.contains(document.activeElement));
  const next = items[Math.min(Math.max(at + by, 0), items.length - 1)];
  if (!next) return;
  if (next.tabIndex < 0) next.tabIndex = -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block });
}

const onRow = (by) => (event) => {
  if (!rows().includes(document.activeElement)) return;
  event.preventDefault();
  step(rows(), by);
};

const single = {
  "/": () => document.querySelector("#query, main input[type=search]")?.focus(),
  d: () => document.querySelector(".times > summary")?.click(),
  j: () => step(rows(), 1),
  k: () => step(rows(), -1),
  "]": () => step(turns(), 1, "start"),
  "[": () => step(turns(), -1, "start"),
  n: () => step(marks(), 1),
  p: () => step(marks(), -1),
  f: () => document.getElementById("find")?.focus(),
  "?": () => document.getElementById("shortcuts").showModal(),
};

// Leaves what is open or written in, the innermost first.
function leave(event) {
  const shut = document.querySelector("details.pop[open], details.person[open]");
  if (document.querySelector("dialog[open]")) return;
  if (event.target.closest?.(inField)) event.target.blur();
  else if (shut) shut.open = false;
  else document.querySelector(".panel .close")?.click();
}

const always = { Escape: leave, ArrowDown: onRow(1), ArrowUp: onRow(-1) };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (always[event.key]) { always[event.key](event); return; }
  const isOff = document.documentElement.dataset.keys === "off";
  if (isOff || event.target.closest?.(inField) || document.querySelector("dialog[open]")) return;
  const action = single[event.key];
  if (!action) return;
  event.preventDefault();
  action(event);
});
