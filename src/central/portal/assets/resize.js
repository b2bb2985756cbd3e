// Makes the open record as wide as somebody wants it: by dragging its edge, or with the arrows on it.

const LEAST = 384;
const STEP = 32;
const KEPT = "panel-width";

const browse = document.querySelector(".browse");
const grip = document.createElement("div");

const panel = () => document.getElementById("panel");
const most = () => Math.max(LEAST, Math.min(720, browse.clientWidth - LEAST));

function resize(width) {
  const fit = Math.round(Math.min(Math.max(width, LEAST), most()));
  browse.style.setProperty("--panel", `${fit}px`);
  grip.setAttribute("aria-valuenow", String(fit));
  grip.setAttribute("aria-valuemax", String(most()));
  sessionStorage.setItem(KEPT, String(fit));
}

function attach() {
  if (!panel()) { grip.remove(); return; }
  if (panel().previousElementSibling === grip) return;
  panel().before(grip);
  resize(Number(sessionStorage.getItem(KEPT)) || panel().offsetWidth);
}

if (browse) {
  grip.className = "grip";
  grip.tabIndex = 0;
  for (const [name, value] of Object.entries({ role: "separator", "aria-orientation": "vertical", "aria-label": "Width of the open record", "aria-valuemin": LEAST, "aria-valuemax": most() })) grip.setAttribute(name, value);
  grip.addEventListener("pointerdown", (event) => { grip.setPointerCapture(event.pointerId); event.preventDefault(); });
  grip.addEventListener("pointermove", (event) => {
    if (grip.hasPointerCapture(event.pointerId)) resize(panel().getBoundingClientRect().right - event.clientX);
  });
  grip.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: STEP, ArrowRight: -STEP }[event.key];
    if (!by) return;
    event.preventDefault();
    resize(panel().offsetWidth + by);
  });
  new MutationObserver(attach).observe(browse, { childList: true });
  attach();
}
