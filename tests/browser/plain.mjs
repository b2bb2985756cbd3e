// Uses the portal without JavaScript: reads, filters, pages, opens, exports.
//
//   {"address", "cookie", "list", "session", "downloads"}
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { asked, must, signedIn, withBrowser } from "./open.mjs";

const origin = `http://${asked.address}`;

await withBrowser(async (browser) => {
  const page = await signedIn(browser);
  await page.setJavaScriptEnabled(false);
  await page.setViewport({ width: 1440, height: 900 });
  const count = async (selector) => (await page.$$(selector)).length;
  const follow = (selector) => Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.click(selector)]);

  await page.goto(`${origin}${asked.list}`);
  const all = await count("a.opens");
  must(all > 0, "there are rows");
  await follow("a[rel=next]");
  must((await count("a.opens")) > 0 && page.url().includes("cursor="), "older rows");
  await follow("a[rel=prev]");
  must((await count("a.opens")) === all, "and back");

  await page.type("#query", "tool:Bash");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  must(page.url().includes("q=tool%3ABash"), `the form's address is the filter's: ${page.url()}`);
  const narrowed = await count("a.opens");
  must(narrowed > 0 && narrowed < all, "fewer rows");
  await follow("a.opens");
  must((await count("#panel")) === 1 && (await count("a.opens")) === narrowed, "the record beside its list");
  await follow("#panel .close");
  must((await count("#panel")) === 0, "and closed again");
  await follow(".facet .exclude");
  must(page.url().includes("-"), "a facet excludes");

  // Columns, their order, and a preference.
  const heads = () => page.$$eval("table.events thead th", (cells) => cells.map((cell) => cell.textContent));
  await page.goto(`${origin}${asked.list}?range=all`);
  must((await count("a.opens")) === 0, "a range that nobody knows is no list");
  await page.goto(`${origin}${asked.list}?q=tool%3ABash`);
  await page.click("details.columns > summary");
  await page.click("#column-tool input");
  await follow("details.columns .apply .button");
  must((await heads()).at(-1) === "Tool" && page.url().includes("columns="), `a column more: ${page.url()}`);
  await page.click("details.columns > summary");
  await follow("#column-tool button[name=up]");
  must((await heads()).at(-2) === "Tool", "it is moved");
  // Chromium opens what holds the place that an address names.
  await follow("details.columns button[name=keep]");
  must((await heads()).at(-2) === "Tool" && !page.url().includes("columns="), "and kept");
  await page.click("details.columns > summary");
  await follow("details.columns button[name=reset]");
  must((await heads()).at(-1) === "Cost (est.)", "and given up");
  must((await count("#qualifiers option")) > 10, "the query box knows its qualifiers");

  // All values of a facet, searched.
  await page.goto(`${origin}${asked.list}`);
  await follow(".facet a.all");
  await page.type("#query", "tool-13");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  must((await count("#values li")) === 1, "one value has it");
  await follow("#values .only");
  must(page.url().includes("q=tool%3Atool-13") && (await count("a.opens")) > 0, `it narrows the list: ${page.url()}`);
  await follow(".histogram .numbers tbody a, .histogram svg a");
  must(page.url().includes("from="), "a bar is a link");

  await page.goto(`${origin}${asked.list}?q=tool%3ABash`);
  const devtools = await page.createCDPSession();
  await devtools.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: asked.downloads });
  await page.click(".export button[value=csv]");
  const file = () => readdirSync(asked.downloads).find((name) => name.endsWith(".csv"));
  for (let waited = 0; !file() && waited < 400; waited += 1) await new Promise((done) => setTimeout(done, 50));
  must(file() && existsSync(join(asked.downloads, file())), "the export is a file");
  const lines = readFileSync(join(asked.downloads, file()), "utf8").trim().split("\r\n");
  must(lines.length === narrowed + 1, `${lines.length - 1} rows in the file, ${narrowed} on the page`);

  await page.goto(`${origin}${asked.session}`);
  must((await count("article.turn")) > 0, "a session is read");
  await page.click("details.line > summary");
  must((await count("details.line[open]")) === 1, "and unfolded");
  await page.type("#find", asked.word);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  must((await count("mark")) > 0, "and searched");
});
