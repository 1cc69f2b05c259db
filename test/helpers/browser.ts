/** Debian's Chromium without a window, for tests of the page. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, type TestContext } from 'node:test';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { requirePeer } from './peer.ts';

let browser: Promise<Browser> | null = null;
after(async () => await (await browser)?.close());

/** Everything that the browser complained about. */
export interface OpenPage {
  readonly page: Page;
  readonly complaints: readonly string[];
}

/** A page without cookies of other tests; null when Chromium is missing and the test was skipped. */
export async function openPage(
  t: TestContext,
  options: BrowserContextOptions = {},
): Promise<OpenPage | null> {
  const executablePath = requirePeer(t, 'chromium');
  if (executablePath === null) return null;
  // Tests may run as root, where Chromium has no sandbox.
  browser ??= chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const context = await (await browser).newContext(options);
  t.after(async () => await context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, complaints };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Findings against WCAG A and AA, and axe's best practices: `rule: place`. */
export async function accessFindings(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: Axe };
    const { violations } = await axe.run();
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
  });
}

interface Axe {
  run(): Promise<{
    readonly violations: readonly {
      readonly id: string;
      readonly nodes: readonly { readonly html: string }[];
    }[];
  }>;
}
