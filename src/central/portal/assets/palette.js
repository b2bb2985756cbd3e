// Ctrl-K or Cmd-K: anywhere by name. The list is that of the page "Go to", so that it is drawn in one place.

const palette = document.getElementById("palette");
const form = palette.querySelector("form");
const field = palette.querySelector("input");
const list = document.getElementById("palette-list");
let asked = 0;

async function fill() {
  const turn = ++asked;
  const answer = await fetch(`${form.action}?${new URLSearchParams({ text: field.value })}`);
  if (!answer.ok || turn !== asked) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  list.replaceChildren(...[...page.querySelectorAll("#found > *")].map((part) => document.adoptNode(part)));
}

function open() {
  if (palette.open) return;
  palette.showModal();
  field.select();
  fill();
}

addEventListener("keydown", (event) => {
  if (event.key !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey) return;
  event.preventDefault();
  open();
});
document.querySelector("a.go")?.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open();
});
field.addEventListener("input", fill);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  await fill();
  list.querySelector("a")?.click();
});
palette.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const stops = [field, ...list.querySelectorAll("a")];
  stops[Math.min(Math.max(stops.indexOf(document.activeElement) + by, 0), stops.length - 1)].focus();
});
palette.addEventListener("click", (event) => { if (event.target === palette) palette.close(); });
