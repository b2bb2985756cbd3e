// Warns before a page is left that shows a token for the only time.

if (document.querySelector("[data-shows-token]")) {
  addEventListener("beforeunload", (event) => event.preventDefault());
}
