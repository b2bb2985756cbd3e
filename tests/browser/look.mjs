// Looks at pages in each width and theme, with everything unfolded as well, and prints what is wrong with
// them, a line each: scripts that ran and should not, requests to elsewhere, what the content security policy
// stopped, errors, text that sticks out to the side, and what axe-core finds.
//
//   {"address", "cookie", "pages": [path], "axe": bool, "pictures": folder or null}
import { mkdirSync } from "node:fs";
import { asked, axe, signedIn, withBrowser } from "./open.mjs";

const WIDTHS = [1440, 390];
const THEMES = ["light", "dark"];

const origin = `http://${asked.address}`;
const source = asked.axe ? axe() : null;

// What a page does that it should not.
function watch(page, report) {
  page.on("dialog", (dialog) => { report(`a dialog: ${dialog.message()}`); dialog.dismiss().catch(() => {}); });
  page.on("pageerror", (error) => report(`an error: ${error.message}`));
  page.on("console", (message) => {
    // Chromium says of a page that is not there that it is not there.
    if (message.type() === "error" && !message.text().includes("status of 404")) report(`the console: ${message.text()}`);
  });
  page.on("response", (response) => {
    const isPage = response.request().resourceType() === "document";
    if (response.status() >= 400 && !isPage) report(`${response.url()} is answered with ${response.status()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith("data:")) report(`asks ${request.url()}`);
  });
  page.on("framenavigated", (frame) => {
    if (frame !== page.mainFrame()) report(`a frame: ${frame.url()}`);
  });
}

async function audited(page) {
  await page.evaluate(source);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.flatMap((violation) =>
    violation.nodes.slice(0, 3).map((node) => `${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary.split("\n")[1] ?? ""}`));
}

await withBrowser(async (browser) => {
  if (asked.pictures) mkdirSync(asked.pictures, { recursive: true });
  const wrong = new Set();
  const page = await signedIn(browser);
  let where = "";
  watch(page, (words) => wrong.add(`${where} ${words}`));
  for (const [name, path] of Object.entries(asked.pages)) {
    for (const width of WIDTHS) {
      await page.setViewport({ width, height: width > 600 ? 1000 : 1400 });
      for (const theme of THEMES) {
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
        where = `${name} ${width} ${theme}:`;
        if (theme === THEMES[0]) await page.goto(`${origin}${path}`, { waitUntil: "load" });
        if (asked.pictures) await page.screenshot({ path: `${asked.pictures}/${name}-${width}-${theme}.png` });
        for (const unfolded of [false, true]) {
          await page.evaluate((open) => {
            for (const part of document.querySelectorAll("main details")) if (open || !part.matches(".facet")) part.open = open && !part.matches(".pop");
          }, unfolded);
          const sticksOut = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          if (sticksOut > 0) wrong.add(`${where} sticks out by ${sticksOut} pixels${unfolded ? ", unfolded" : ""}`);
          if (source) for (const violation of await audited(page)) wrong.add(`${where} ${violation}`);
        }
        if (await page.evaluate(() => Boolean(globalThis.pwned))) wrong.add(`${where} a script of a record ran`);
      }
    }
  }
  for (const line of wrong) console.log(line);
});
