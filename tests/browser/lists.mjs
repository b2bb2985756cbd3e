// Uses Observability's list as somebody does who narrows it and lays it out, by keyboard and by mouse; looks at
// what opens on it in each width and theme with axe-core.
//
//   {"address", "cookie", "list", "session"}
import { asked, axe, must, signedIn, withBrowser } from "./open.mjs";

const origin = `http://${asked.address}`;

await withBrowser(async (browser) => {
  await browser.defaultBrowserContext().overridePermissions(origin, ["clipboard-read", "clipboard-write", "clipboard-sanitized-write"]);
  const page = await signedIn(browser);
  await page.bringToFront();
  await page.setViewport({ width: 1440, height: 1000 });
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.message));
  // What one part does wrong does not hide what the next does.
  const part = (work) => work().catch((error) => wrong.push(`${error.message} ${error.stack.match(/lists.mjs:\d+/g)}`));
  const go = (path) => page.goto(`${origin}${path}`, { waitUntil: "load" });
  const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
  const see = (question, ...details) => page.evaluate(question, ...details);
  const until = (question, words, ...details) => page.waitForFunction(question, { timeout: 20000 }, ...details).catch(() => must(false, words));
  const follow = (act) => Promise.all([page.waitForNavigation({ waitUntil: "load" }), act()]);
  const query = () => see(() => document.getElementById("query").value);
  const options = () => see(() => [...document.querySelectorAll("#completions:not([hidden]) [role=option]")].map((row) => row.textContent));
  const offered = (text) => until((wanted) => [...document.querySelectorAll("#completions:not([hidden]) [role=option]")].some((row) => row.textContent.includes(wanted)), `${text} is offered`, text);
  const columns = () => see(() => [...document.querySelectorAll("table.events thead th")].map((head) => head.textContent.trim()));
  const source = axe();
  // Nothing scrolls by itself while somebody clicks.
  const dressed = (theme) => page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }, { name: "prefers-reduced-motion", value: "reduce" }]);
  await dressed("light");

  // What is open now, in both themes, wide and narrow.
  async function look(what) {
    for (const [width, height] of [[1440, 1000], [390, 1400]]) {
      await page.setViewport({ width, height });
      for (const theme of ["light", "dark"]) {
        await dressed(theme);
        const sticksOut = await see(() => document.documentElement.scrollWidth - innerWidth);
        must(sticksOut <= 0, `${what} ${width} ${theme}: sticks out by ${sticksOut} pixels`);
        await see(source);
        const found = await see(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
        const wrong = found.violations.flatMap((it) => it.nodes.map((node) => `${it.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`));
        must(wrong.length === 0, `${what} ${width} ${theme}: ${wrong.join("\n")}`);
        if (asked.pictures) await page.screenshot({ path: `${asked.pictures}/${what}-${width}-${theme}.png` });
      }
    }
    await page.setViewport({ width: 1440, height: 1000 });
  }

  // The query box is completed by keyboard, and what was completed is searched.
  await part(async () => {
    await go(asked.list);
    await press("/");
    await page.keyboard.type("\"two words\" -too");
    await offered("tool:");
    await press("ArrowDown", "Enter");
    must((await query()) === "\"two words\" -tool:", `a qualifier keeps its sign: ${await query()}`);
    await offered("Bash");
    await press("Escape");
    must((await options()).length === 0, "Esc shuts the list");
    must(await see(() => document.activeElement.id === "query"), "and stays in the field");
    await press("Escape");
    must(await see(() => document.activeElement.id !== "query"), "Esc once more leaves the field");
    await go(asked.list);
    await press("/");
    await page.keyboard.type("tool:Ba");
    await offered("Bash");
    await look("completions");
    await press("ArrowDown");
    const active = await see(() => document.getElementById(document.activeElement.getAttribute("aria-activedescendant"))?.textContent);
    must(active?.startsWith("Bash"), `an option is active: ${active}`);
    await press("Enter");
    must((await query()) === "tool:Bash ", `it stands in the box: ${await query()}`);
    await follow(() => press("Enter"));
    must(page.url().includes("q=tool%3ABash"), `and is searched: ${page.url()}`);
  });

  // By mouse: a qualifier, then one of its values.
  await part(async () => {
    await go(asked.list);
    await page.click("#query");
    await page.keyboard.type("ty");
    await offered("type:");
    await page.click("#completions [role=option]");
    await offered("Tool Invocation");
    await page.keyboard.type("user");
    await until(() => document.querySelectorAll("#completions [role=option]").length === 1, "what is typed narrows the values");
    await page.click("#completions [role=option]");
    must((await query()) === "type:user_message ", `a value is taken by its exact name: ${await query()}`);
    await press("ArrowDown");
    await offered("has:prompt");
  });

  // Facets: what a click does is said; the others are found.
  await part(async () => {
    await go(asked.list);
    const word = (selector, pseudo) => see((which, of) => getComputedStyle(document.querySelector(which), of).content, selector, pseudo);
    must((await word(".facet .only", "::after")) === "none", "nothing is said of what nobody points at");
    await page.hover(".facet .only");
    must((await word(".facet .only", "::after")) === '"only"' && (await word(".facet .exclude", "::before")) === '"exclude"', "only and exclude, where somebody points");
    await page.mouse.move(900, 5);
    await page.focus(".facet .exclude");
    await press("Tab");
    must((await see(() => getComputedStyle(document.activeElement, "::after").content)) === '"only"', "and where somebody is");
    const field = ".facet > input";
    await page.focus(field);
    await page.keyboard.type("tool-1");
    await until(() => document.querySelectorAll(".facet > input + ul > li").length === 5, "five values have it");
    must(await see(() => document.querySelector(".facet > input ~ [role=status]").textContent === "5 values"), "and it is said");
    await look("facets");
    await page.keyboard.type("3");
    await until(() => document.querySelectorAll(".facet > input + ul > li").length === 1, "one value has it");
    await press("Tab");
    await follow(() => press("Enter"));
    must(page.url().includes("q=tool%3Atool-13"), `it narrows the list: ${page.url()}`);
    await go(asked.list);
    await page.type(field, "tool-12");
    await until(() => document.querySelectorAll(".facet > input + ul > li").length === 1, "another");
    await follow(() => page.click(".facet > input + ul .exclude"));
    must(page.url().includes("q=-tool%3Atool-12"), `it is excluded: ${page.url()}`);
    await page.type(field, "tool-0");
    await until(() => document.querySelectorAll(".facet > input + ul > li").length === 10, "ten values");
    await page.click(field, { count: 3 });
    await press("Backspace");
    await until(() => !document.querySelector(".facet > input + ul").textContent.includes("tool-09"), "an empty field shows the first again");
  });

  // The histogram: arrows, several bars with Shift, and a drag.
  await part(async () => {
    await go(asked.list);
    const bars = await see(() => document.querySelectorAll(".histogram svg a").length);
    must(bars > 3, "there are bars");
    const atBar = () => see(() => [...document.querySelectorAll(".histogram svg a")].indexOf(document.activeElement));
    const times = () => Object.fromEntries(["from", "to"].map((key) => [key, Date.parse(new URL(page.url()).searchParams.get(key))]));
    await see(() => document.querySelector('.histogram svg a[tabindex="0"]').focus());
    must((await atBar()) === bars - 1, "the last bar is the first to be reached");
    await press("ArrowLeft", "ArrowLeft", "ArrowRight");
    must((await atBar()) === bars - 2, "arrows go from bar to bar");
    await press("Home");
    must((await atBar()) === 0, "Home goes to the first");
    await follow(() => press("Enter"));
    const one = times();
    must(one.to > one.from, `a bar is a time: ${page.url()}`);
    await page.goBack({ waitUntil: "load" });
    await see(() => document.querySelector('.histogram svg a[tabindex="0"]').focus());
    await press("Home");
    await page.keyboard.down("Shift");
    await press("ArrowRight", "ArrowRight");
    await page.keyboard.up("Shift");
    await follow(() => press("Enter"));
    const three = times();
    must(three.from === one.from && three.to - three.from === 3 * (one.to - one.from), `three bars are three times as long: ${page.url()}`);
    await page.goBack({ waitUntil: "load" });
    const box = await see(() => { const { left, top, width, height } = document.querySelector(".histogram svg").getBoundingClientRect(); return { left, top, width, height }; });
    const bar = box.width / bars;
    const middle = box.top + box.height / 2;
    await page.mouse.move(box.left + bar / 2, middle);
    await page.mouse.down();
    await page.mouse.move(box.left + bar * 1.5, middle, { steps: 5 });
    must(await see(() => Boolean(document.querySelector(".histogram .band"))), "what is taken in is seen");
    await follow(() => page.mouse.up());
    const two = times();
    must(two.from === one.from && two.to - two.from === 2 * (one.to - one.from), `a drag over two bars: ${page.url()}`);
    await page.goBack({ waitUntil: "load" });
    await follow(() => page.click(".histogram svg a:last-of-type .hit"));
    must(times().to - times().from === one.to - one.from, "a click is one bar");
  });

  // Columns: chosen, moved, with a record open, and as a preference.
  await part(async () => {
    await go(asked.list);
    await page.click("details.columns > summary");
    await look("columns");
    await page.click("#column-tool input");
    await page.click("#column-cost input");
    await follow(() => page.click("details.columns .apply .button"));
    must((await columns()).join() === "Time,Agent,Activity,Detail,Decision,Duration,Tool", `a column more: ${await columns()}`);
    await page.click("details.columns > summary");
    await page.focus("#column-tool button[name=up]");
    await follow(() => press("Enter"));
    must((await columns()).at(-2) === "Tool", "it goes to the left");
    must(await see(() => document.querySelector("details.columns").open), "and the form is open again, at the column");
    await press("Escape");
    await page.click("a.opens");
    await until(() => document.getElementById("panel"), "a record opens");
    must(await see(() => [...document.querySelectorAll("table.events thead th")].every((head) => head.checkVisibility())), "beside all that was chosen");
    await look("laid-out");
    await page.click("#panel .close");
    await until(() => !document.getElementById("panel"), "and closes");
    await page.click("details.columns > summary");
    await follow(() => page.click("details.columns button[name=keep]"));
    must(!page.url().includes("columns=") && (await columns()).at(-2) === "Tool", `it is the person's own now: ${page.url()}`);
    await page.click("details.columns > summary");
    await follow(() => page.click("details.columns button[name=reset]"));
    must((await columns()).at(-1) === "Cost (est.)", "and as usual again");
  });

  // Older rows stand below those that are there.
  await part(async () => {
    await go(asked.list);
    const rows = () => see(() => document.querySelectorAll("a.opens").length);
    const before = await rows();
    const here = page.url();
    await page.click("a[rel=next]");
    await until((had) => document.querySelectorAll("a.opens").length > had, "older rows are appended", before);
    must(page.url() === here, "the page is the same");
    must(await see((had) => [...document.querySelectorAll("a.opens")].indexOf(document.activeElement) === had, before), "the focus is on the first of them");
    const days = await see(() => [...document.querySelectorAll(".day-row")].map((row) => row.textContent));
    must(new Set(days).size === days.length, `each day is said once: ${days}`);
  });

  // The open record is as wide as somebody wants it, also after the next one opens.
  await part(async () => {
    await go(asked.list);
    await page.click("a.opens");
    await until(() => document.querySelector(".grip"), "a record has an edge");
    const wide = () => see(() => Math.round(document.getElementById("panel").getBoundingClientRect().width));
    const narrow = await wide();
    await page.focus(".grip");
    await press("ArrowLeft");
    must((await wide()) === narrow + 32, `wider by keyboard: ${narrow}, ${await wide()}`);
    const edge = await see(() => { const { left, top } = document.querySelector(".grip").getBoundingClientRect(); return { left, top }; });
    await page.mouse.move(edge.left + 2, edge.top + 40);
    await page.mouse.down();
    await page.mouse.move(edge.left - 38, edge.top + 40, { steps: 4 });
    await page.mouse.up();
    const wider = await wide();
    must(wider > narrow + 60, `wider by mouse: ${wider}`);
    await go(asked.list);
    await page.click("a.opens");
    await until(() => document.querySelector(".grip"), "the next record");
    must((await wide()) === wider, "is as wide");
    const copied = () => see(() => navigator.clipboard.readText());
    await page.click(".values-of button.copy");
    await until(() => document.querySelector(".values-of button.copy").textContent === "Copied", "a value is copied");
    must((await copied()) === (await see(() => document.querySelector(".values-of data").value)), "as it is");
    await page.click("button[data-copy='']");
    await until(() => document.querySelector("button[data-copy='']").textContent === "Copied", "so is the address");
    must((await copied()) === page.url(), "of the page as it stands");
    await page.click("details.curl > summary");
    await look("curl");
    await page.click("details.curl .copy");
    await until(() => document.querySelector("details.curl .copy").textContent === "Copied", "and the command");
    must((await copied()).startsWith("curl -H \"Authorization: Bearer $FIELDPOST_KEY\" 'http"), "for the API");
  });

  // A session is unfolded at once.
  await part(async () => {
    await go(asked.session);
    const open = () => see(() => document.querySelectorAll("details.line[open]").length);
    must((await open()) === 0, "its lines are folded");
    await page.click("#fold");
    must((await open()) === (await see(() => document.querySelectorAll("details.line").length)), "all unfold");
    await page.focus("#fold");
    await press("Enter");
    must((await open()) === 0, "and fold again");
  });
  must(wrong.length === 0, wrong.join("\n"));
});
