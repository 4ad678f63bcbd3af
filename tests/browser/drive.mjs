// Drives a browser for the tests: a request in each line of standard input, an answer in each line of standard
// output. One page at a time; every request that the page makes is kept, so that a test can say that it made none.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
let context, page, made;

// The text that a person sees without scrolling.
function firstScreen() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    const shown = node.parentElement.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const clipped = getComputedStyle(node.parentElement).clipPath !== "none";
    if (shown && !clipped && box.width && box.bottom <= innerHeight && box.right <= innerWidth + 1) seen.push(node.data);
  }
  return seen.join(" ").replace(/\s+/g, " ").trim();
}

const acts = {
  async open({ url, width = 1280, height = 800, theme = "light", javascript = true, touch = false, headers = {} }) {
    await context?.close();
    context = await browser.newContext({
      viewport: { width, height }, colorScheme: theme, javaScriptEnabled: javascript, hasTouch: touch,
      extraHTTPHeaders: headers,
    });
    page = await context.newPage();
    made = { requests: [], told: [] };
    page.on("request", (request) => made.requests.push(request.url()));
    page.on("console", (message) => made.told.push(message.text()));
    page.on("pageerror", (error) => made.told.push(String(error)));
    page.on("dialog", (dialog) => { made.told.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    const response = await page.goto(url);
    return { status: response.status(), headers: response.headers(), title: await page.title() };
  },
  async reload() { await page.reload(); return { title: await page.title() }; },
  made() { return made; },
  shot({ path, whole = false }) { return page.screenshot({ path, fullPage: whole }).then(() => null); },
  firstScreen() { return page.evaluate(firstScreen); },
  text() { return page.evaluate(() => document.body.innerText); },
  evaluate({ script }) { return page.evaluate(script); },
  async press({ keys }) { for (const key of keys) await page.keyboard.press(key); return null; },
  async hover({ selector, at = 0 }) { await page.locator(selector).nth(at).hover(); return null; },
  async click({ selector, at = 0 }) { await page.locator(selector).nth(at).click(); return { url: page.url() }; },
  async axe() {
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run({ resultTypes: ["violations"] }));
    return found.violations.map((each) => ({
      rule: each.id, impact: each.impact, where: each.nodes.map((node) => `${node.target}: ${node.failureSummary}`),
    }));
  },
  timing() {
    return page.evaluate(async () => ({
      paint: await new Promise((told) => new PerformanceObserver((list) => {
        const found = list.getEntriesByName("first-contentful-paint")[0];
        if (found) told(found.startTime);
      }).observe({ type: "paint", buffered: true })),
      loaded: performance.getEntriesByType("navigation")[0].loadEventEnd,
      bytes: performance.getEntriesByType("navigation")[0].decodedBodySize,
    }));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { act, ...given } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ given: (await acts[act](given)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ failed: String(error) }));
  }
}
await browser.close();
