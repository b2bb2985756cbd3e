// Opens a record beside its list without drawing the list anew: the panel is cut out of the page that the
// link leads to. Esc (keys.js) closes it and gives the focus back to its row.

import { offer } from "./copy.js";

const browse = document.querySelector(".browse");
const openRow = () => browse.querySelector("tr.open a.opens");
let opener = browse && openRow();

async function show(url, push) {
  const answer = await fetch(url, { headers: { accept: "text/html" } });
  if (!answer.ok) { location.assign(url); return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const panel = page.getElementById("panel");
  document.getElementById("panel")?.remove();
  browse.classList.toggle("with-panel", Boolean(panel));
  if (panel) {
    browse.append(document.adoptNode(panel));
    offer(panel);
  }
  for (const row of browse.querySelectorAll("tbody tr")) row.classList.remove("open");
  opener?.closest("tr")?.classList.toggle("open", Boolean(panel));
  if (push) history.pushState(null, "", url);
  if (panel) { panel.tabIndex = -1; panel.focus({ preventScroll: true }); } else opener?.focus();
}

browse?.addEventListener("click", (event) => {
  const link = event.target.closest("a.opens, .panel .tabs a, .panel .close, .panel .context a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  if (link.matches("a.opens")) opener = link;
  show(link.href, true).catch(() => location.assign(link.href));
});
addEventListener("popstate", () => { if (browse) show(location.href, false).catch(() => location.reload()); });
