// Counts what arrives while a list is open. The stream carries a count and a cursor, never content; rows
// appear when the person asks for them, so nothing moves under the cursor.

const pill = document.getElementById("pill");
if (pill) {
  const wanted = new URLSearchParams(location.search);
  for (const key of ["event", "tab"]) wanted.delete(key);
  const stream = new EventSource(`${pill.dataset.live}&${wanted}`);
  const count = document.getElementById("pill-count");
  stream.addEventListener("arrived", (event) => {
    count.textContent = event.data;
    pill.hidden = event.data === "0";
  });
  addEventListener("pagehide", () => stream.close());
}
