// Unfolds every line of a session at once, or folds them again.

const button = document.getElementById("fold");
const lines = [...document.querySelectorAll("details.line")];
if (button && lines.length > 1) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    for (const line of lines) line.open = open;
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Fold all" : "Expand all";
  });
}
