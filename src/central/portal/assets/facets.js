// Searches within a facet: where its list of values is cut, a field finds the others. They are cut out of the
// page that "All values" leads to, so that they are drawn in one place.

const PAUSE_MS = 150;

for (const link of document.querySelectorAll(".facet a.all")) {
  const list = link.parentElement.querySelector("ul");
  const first = [...list.children];
  const field = document.createElement("input");
  const told = document.createElement("p");
  field.type = "search";
  field.placeholder = "Search all values";
  field.setAttribute("aria-label", `Search ${link.closest(".facet").querySelector("summary").firstChild.textContent.trim()}`);
  told.className = "note";
  told.setAttribute("role", "status");
  list.before(field);
  list.after(told);
  let turn = 0;
  let timer = 0;

  async function search() {
    const asked = ++turn;
    const like = field.value.trim();
    if (!like) {
      list.replaceChildren(...first);
      told.textContent = "";
      return;
    }
    const url = new URL(link.href);
    url.searchParams.set("like", like);
    const answer = await fetch(url, { headers: { accept: "text/html" } }).catch(() => null);
    if (asked !== turn) return;
    if (!answer?.ok) { location.assign(url); return; }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (asked !== turn) return;
    list.replaceChildren(...[...page.querySelectorAll("#values > li")].map((value) => document.adoptNode(value)));
    told.textContent = page.querySelector(".result")?.textContent ?? "";
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, PAUSE_MS);
  });
}
