// Offers the browser's own zone in the preferences.

const button = document.getElementById("zone-local");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const field = document.getElementById("zone");
if (button && field && zone && field.value !== zone) {
  button.hidden = false;
  button.textContent = `Use ${zone}`;
  button.addEventListener("click", () => { field.value = zone; });
}
