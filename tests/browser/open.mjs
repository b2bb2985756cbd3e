// Opens Chromium for the scripts beside this one. The working directory holds node_modules; standard input
// holds what the test asks for, as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "package.json"));
const { launch } = require("puppeteer-core");

export const asked = JSON.parse(readFileSync(0, "utf8"));
export const axe = () => readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// Runs `work` with a browser, which ends whatever happens.
export async function withBrowser(work) {
  const browser = await launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
  });
  try {
    await work(browser);
  } finally {
    await browser.close();
  }
}

// A page of somebody who is signed in.
export async function signedIn(browser) {
  const [name, value] = asked.cookie.split("=");
  await browser.setCookie({ name, value, domain: asked.address.split(":")[0], path: "/", httpOnly: true, sameSite: "Lax" });
  return browser.newPage();
}

// Fails the test with these words unless `fact` holds.
export function must(fact, words) {
  if (!fact) throw new Error(words);
}
