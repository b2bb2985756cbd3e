// Gives every copy button its work: what the part that it names holds, or the page's own address. Without this
// module the buttons stay hidden.

export function offer(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    if (button.dataset.copy && !source) continue;
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(source ? (source.value ?? source.textContent.trim()) : location.href);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select it by hand";
      }
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }
}

offer(document);
