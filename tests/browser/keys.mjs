// Uses the portal as somebody does who works with it: keyboard first, then the mouse.
//
//   {"address", "cookie", "list", "session", "word", "bearer", "arriving"}
import { asked, must, signedIn, withBrowser } from "./open.mjs";

const origin = `http://${asked.address}`;

await withBrowser(async (browser) => {
  const page = await signedIn(browser);
  await page.setViewport({ width: 1440, height: 900 });
  const go = (path) => page.goto(`${origin}${path}`, { waitUntil: "load" });
  const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
  const focused = (question) => page.evaluate(question);
  const until = (question, words) => page.waitForFunction(question, { timeout: 20000 }).catch(() => must(false, words));
  const atRow = () => focused(() => [...document.querySelectorAll("a.opens")].indexOf(document.activeElement));

  await go(asked.list);
  await press("/");
  must(await focused(() => document.activeElement.id === "query"), "/ goes to the query box");
  await page.keyboard.type("jd?");
  must(await focused(() => document.activeElement.value === "jd?"), "keys in a field are text");
  await press("Escape");
  must(await focused(() => document.activeElement.id !== "query"), "Esc leaves the field");
  await press("d");
  must(await focused(() => document.querySelector("details.times").open), "d opens the times");
  await press("Escape");
  must(await focused(() => !document.querySelector("details.times").open), "Esc closes them");

  await press("j");
  must((await atRow()) === 0, "j goes to the first row");
  await press("j", "ArrowDown", "k");
  must((await atRow()) === 1, "j, down and k move by a row");
  await press("Enter");
  await until(() => document.getElementById("panel"), "Enter opens the record");
  must(page.url().includes("event="), "the address says which record is open");
  await press("Escape");
  await until(() => !document.getElementById("panel"), "Esc closes the record");
  must((await atRow()) === 1, "the focus is back on the row");

  await press("?");
  must(await focused(() => document.getElementById("shortcuts").open), "? lists the keys");
  await press("Escape");
  must(await focused(() => !document.getElementById("shortcuts").open), "Esc closes the list");
  await page.keyboard.down("Control");
  await press("k");
  await page.keyboard.up("Control");
  must(await focused(() => document.getElementById("palette").open), "Ctrl-K opens the palette");
  await page.keyboard.type("machines");
  await press("Enter");
  await page.waitForNavigation({ waitUntil: "load" }).catch(() => {});
  must(page.url().endsWith("/inventory/machines"), `the palette leads to machines, not to ${page.url()}`);

  await go(asked.session);
  const turn = () => focused(() => document.querySelector("article.turn:target, article.turn:focus")?.id ?? "");
  await press("]");
  const first = await turn();
  await press("]");
  const second = await turn();
  must(first && second && first !== second, `] goes from turn to turn: ${first}, ${second}`);
  await press("[");
  must((await turn()) === first, "[ goes back");
  await press("n");
  must(await focused(() => Boolean(document.activeElement.closest(".line.danger, .tag.danger, .turn"))), "n goes to a mark");
  await press("f");
  must(await focused(() => document.activeElement.id === "find"), "f goes to the search in the session");
  await page.keyboard.type(asked.word);
  await press("Enter");
  await page.waitForNavigation({ waitUntil: "load" }).catch(() => {});
  must(page.url().includes("find="), "the address says what is searched");
  must(await focused(() => document.querySelectorAll("mark").length > 0), "what was found is marked");

  // What arrives is counted, and shown when asked for.
  await go(asked.list);
  const before = await page.$$eval("a.opens", (rows) => rows.map((row) => row.href));
  const headers = { authorization: asked.bearer, "content-type": "application/json" };
  const sent = await fetch(`${origin}/v1/logs`, { method: "POST", headers, body: JSON.stringify(asked.arriving) });
  must(sent.ok, `it is taken: ${sent.status}`);
  await until(() => !document.getElementById("pill").hidden, "a pill counts what arrives");
  must(await focused(() => document.getElementById("pill-count").textContent === "1"), "one record arrived");
  must((await page.$$eval("a.opens", (rows) => rows.map((row) => row.href))).join() === before.join(), "no row has moved");
  await Promise.all([page.waitForNavigation(), page.click("#pill a")]);
  must((await page.$$eval("a.opens", (rows) => rows[0].href)) !== before[0], "and now it is shown");

  // The mouse. What scrolls does so at once, so that it can be asked.
  await page.emulateMediaFeatures([{ name: "prefers-reduced-motion", value: "reduce" }]);
  await go(asked.list);
  await page.click("a.opens");
  await until(() => document.getElementById("panel"), "a click opens the record");
  await page.click("#panel .close");
  await until(() => !document.getElementById("panel"), "a click closes it");
  must(await focused(() => scrollY === 0), "the list stays where it was");
  await Promise.all([page.waitForNavigation(), page.click(".facet .only")]);
  must((await page.$$(".chip")).length > 0, "a facet becomes a filter");
  await Promise.all([page.waitForNavigation(), page.click(".chip")]);
  must((await page.$$(".chip")).length === 0, "a click on the filter removes it");
  await Promise.all([page.waitForNavigation(), page.click(".switch a:nth-child(4)")]);
  must((await page.$$(".chip")).length > 0, "a range is a filter");
  await page.goBack({ waitUntil: "load" });
  must((await page.$$(".chip")).length === 0, "Back works");
  const theme = await focused(() => document.documentElement.dataset.theme ?? "");
  await page.click(".preferences > summary");
  await page.select(".preferences select[name=theme]", theme === "dark" ? "light" : "dark");
  await Promise.all([page.waitForNavigation(), page.click(".preferences button.button:not(.quiet)")]);
  must(await focused((was) => (document.documentElement.dataset.theme ?? "") !== was, theme), "colors can be chosen");
});
