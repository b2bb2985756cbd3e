// Completes the query box while somebody types: qualifiers from the page's own list, and their values from the
// page that lists them. It is the pattern of a combobox: arrows choose, Enter or a click takes, Esc shuts.

const PAUSE_MS = 120;
const SHOWN = 16;

const field = document.getElementById("query");
const qualifiers = [...document.querySelectorAll("#qualifiers option")].map((option) => option.value);
const list = document.createElement("ul");
let options = [];
let chosen = -1;
let turn = 0;
let timer = 0;

// The term that is being typed, as far as the caret: bare letters and what stands in quotes.
function typed() {
  const before = field.value.slice(0, field.selectionStart);
  const terms = [...before.matchAll(/(?:[^\s"]|"(?:\\.|[^"\\])*(?:"|$))+/g)];
  const last = terms.at(-1);
  const text = last && last.index + last[0].length === before.length ? last[0] : "";
  return { start: before.length - text.length, sign: text.startsWith("-") ? "-" : "", text: text.replace(/^-/, "") };
}

function shut() {
  turn += 1;
  clearTimeout(timer);
  options = [];
  choose(-1);
  list.hidden = true;
  field.setAttribute("aria-expanded", "false");
}

function choose(index) {
  chosen = index;
  for (const [place, option] of [...list.children].entries()) option.setAttribute("aria-selected", String(place === index));
  list.children[index]?.scrollIntoView({ block: "nearest" });
  if (index < 0) field.removeAttribute("aria-activedescendant");
  else field.setAttribute("aria-activedescendant", list.children[index].id);
}

function show(found) {
  options = found.slice(0, SHOWN);
  if (options.length === 0) { shut(); return; }
  list.replaceChildren(...options.map((option, index) => {
    const row = document.createElement("li");
    row.id = `completion-${index}`;
    row.setAttribute("role", "option");
    row.append(...option.parts);
    return row;
  }));
  list.hidden = false;
  field.setAttribute("aria-expanded", "true");
  choose(-1);
}

async function values(qualifier, like) {
  const url = new URL(field.dataset.values, location.href);
  url.search = new URLSearchParams({ of: qualifier, like });
  const answer = await fetch(url, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return [];
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return [...page.querySelectorAll("#values > li")].map((value) => {
    const parts = [value.querySelector("bdi"), value.querySelector(".count")];
    return { term: value.querySelector("data").value, parts: parts.map((part) => document.adoptNode(part)) };
  });
}

async function complete(wantsAll) {
  const asked = ++turn;
  const { text } = typed();
  const [, qualifier, like] = text.match(/^([a-z]+):"?([^"]*)/) ?? [];
  const known = qualifiers.filter((word) => (text || wantsAll) && word.startsWith(text) && word !== text);
  const found = qualifiers.includes(`${qualifier}:`)
    ? (await values(qualifier, like)).filter((value) => value.term !== text)
    : known.map((term) => ({ term, parts: [term] }));
  if (asked === turn && document.activeElement === field) show(found);
}

function take(index) {
  const { start, sign } = typed();
  const { term } = options[index];
  const isWhole = !term.endsWith(":");
  field.setRangeText(`${sign}${term}${isWhole ? " " : ""}`, start, field.selectionStart, "end");
  shut();
  if (!isWhole) complete(false);
}

const keys = {
  ArrowDown: () => (options.length ? choose((chosen + 1) % options.length) : complete(true)),
  ArrowUp: () => (options.length ? choose((chosen <= 0 ? options.length : chosen) - 1) : false),
  Enter: () => (chosen < 0 ? false : take(chosen)),
  Escape: () => (options.length ? shut() : false),
};

if (field?.dataset.values) {
  // A combobox is a field for text; a datalist of its own would open over it.
  field.type = "text";
  field.removeAttribute("list");
  list.id = "completions";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Completions");
  field.closest("label").after(list);
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": list.id, "aria-expanded": "false" })) field.setAttribute(name, value);
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(complete, PAUSE_MS, false); });
  field.addEventListener("blur", shut);
  field.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !keys[event.key]) return;
    if (keys[event.key]() === false) return;
    event.preventDefault();
    event.stopPropagation();
  });
  // The field keeps the focus when an option is pressed.
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const index = [...list.children].indexOf(event.target.closest("li"));
    if (index >= 0) take(index);
  });
}
