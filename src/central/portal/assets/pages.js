// Shows older rows below those that are there, instead of alone. They are cut out of the page that the link leads
// to; after so many, the link leads there again, so that a page stays one that a browser can hold.

const MOST = 1000;

const heading = (row) => (row?.querySelector("td") ? null : row?.textContent.trim());

async function append(link, list) {
  const answer = await fetch(link.href, { headers: { accept: "text/html" } });
  const page = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
  const body = list.querySelector("tbody:last-of-type");
  const rows = [...(page ? page.querySelectorAll(".list tbody tr") : [])];
  if (!body || rows.length === 0) { location.assign(link.href); return; }
  // What heads the next rows stands there already where they go on in the same day or group.
  const last = [...body.rows].findLast((row) => heading(row));
  if (heading(rows[0]) && heading(rows[0]) === heading(last)) rows.shift();
  body.append(...rows.map((row) => document.adoptNode(row)));
  rows[heading(rows[0]) ? 1 : 0].querySelector("a")?.focus();
  const next = page.querySelector(".list .more-rows a[rel=next]");
  if (next) link.href = next.href; else link.remove();
}

addEventListener("click", (event) => {
  const link = event.target.closest?.(".list .more-rows a[rel=next]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const list = link.closest(".list");
  if (list.querySelectorAll("tbody tr").length >= MOST) return;
  event.preventDefault();
  append(link, list).catch(() => location.assign(link.href));
});
