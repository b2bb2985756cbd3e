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
