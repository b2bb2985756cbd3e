// Bars by keyboard and by dragging. Each bar is a link to its own time; arrows go from bar to bar, with Shift
// they take in several, Enter leads to what is taken in. A drag over bars does the same.

const SLACK_PX = 4;

for (const picture of document.querySelectorAll(".histogram svg")) {
  const bars = [...picture.querySelectorAll("a")];
  const width = picture.viewBox.baseVal.width / bars.length;
  const band = document.createElementNS(picture.namespaceURI, "rect");
  band.setAttribute("class", "band");
  band.setAttribute("height", "64");
  let from = bars.length - 1;
  let to = from;
  let dragged = null;

  function take(start, end) {
    from = start;
    to = end;
    const [first, last] = [Math.min(from, to), Math.max(from, to)];
    band.setAttribute("x", first * width);
    band.setAttribute("width", (last - first + 1) * width);
    if (first === last) band.remove(); else picture.append(band);
  }

  // The time from the first bar's beginning to the last one's end.
  function zoom() {
    const [first, last] = [bars[Math.min(from, to)], bars[Math.max(from, to)]];
    const url = new URL(first.href.baseVal, location.href);
    url.searchParams.set("to", new URL(last.href.baseVal, location.href).searchParams.get("to"));
    location.assign(url);
  }

  function focus(index) {
    for (const bar of bars) bar.setAttribute("tabindex", "-1");
    bars[index].setAttribute("tabindex", "0");
    bars[index].focus();
  }

  const at = (event) => {
    const box = picture.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * bars.length);
    return Math.min(Math.max(place, 0), bars.length - 1);
  };

  bars.at(-1)?.setAttribute("tabindex", "0");
  picture.addEventListener("keydown", (event) => {
    const now = bars.indexOf(event.target.closest("a"));
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (now < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && from !== to) { event.preventDefault(); zoom(); return; }
    if (event.key === "Escape" && from !== to) { event.stopPropagation(); take(now, now); return; }
    if (next === undefined || !bars[next]) return;
    event.preventDefault();
    take(event.shiftKey ? (from === to ? now : from) : next, next);
    focus(next);
  });

  picture.addEventListener("dragstart", (event) => event.preventDefault());
  picture.addEventListener("pointerdown", (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    dragged = { x: event.clientX, bar: at(event), moves: false };
    take(dragged.bar, dragged.bar);
  });
  addEventListener("pointermove", (event) => {
    if (!dragged) return;
    dragged.moves ||= Math.abs(event.clientX - dragged.x) > SLACK_PX;
    if (dragged.moves) take(dragged.bar, at(event));
  });
  addEventListener("pointerup", () => {
    const moved = dragged?.moves;
    dragged = null;
    if (moved) zoom();
  });
  addEventListener("pointercancel", () => { dragged = null; take(to, to); });
  picture.addEventListener("click", (event) => { if (from !== to) event.preventDefault(); });
}
