/** The documentation of the API as a page, in a real browser: whole, offline, by keyboard, and axe. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HTTP_ROUTES } from '../../../broker/http/route-table.ts';
import { isPagePath } from '../../../broker/http/openapi.ts';
import { accessFindings, openPage } from '../../helpers/browser.ts';
import { startApi } from '../api.ts';

const ROUTES = HTTP_ROUTES.filter(({ path }) => !isPagePath(path));

it('is small, and shows every route with its parameters, fields and refusals to everybody, from this broker alone', async (t) => {
  const api = await startApi(t, { protected: true });
  const opened = await openPage(t, { viewport: { width: 400, height: 800 } });
  if (!opened) return;
  const { page, complaints } = opened;
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(`${api.url}/docs`);
  await page
    .locator('#found')
    .filter({ hasText: `${ROUTES.length} of ${ROUTES.length}` })
    .waitFor();
  assert.ok(asked.every((url) => url.startsWith(api.url)));
  const script = await (await api.get('/page.docs.js')).text();
  assert.ok(script.length < 16_000, `its script is small (got ${script.length})`);
  const titles = await page.locator('.route h3').allTextContents();
  const wanted = ROUTES.map(({ method, path }) => {
    return `${method} /v1${path.replaceAll(/:([a-z]+)/g, '{$1}')}`;
  });
  assert.deepEqual(titles.toSorted(), wanted.toSorted());
  const command = await page.locator('#post_rollouts_id_approve').textContent();
  assert.match(command ?? '', /Body: application\/json/);
  assert.match(command ?? '', /wave\?: whole number, from 0 to \d+/);
  assert.match(command ?? '', /APPROVAL_TOO_EARLY/);
  const robots = await page.locator('#get_robots').textContent();
  assert.match(robots ?? '', /limit.*in the query, may be left out: text/s);
  assert.match(robots ?? '', /robot_id: text/);

  await page.locator('#find').focus();
  await page.keyboard.type('id}/retire PUBLISHER');
  await page
    .locator('#found')
    .filter({ hasText: /^1 of / })
    .waitFor();
  assert.deepEqual(await page.locator('.route:visible h3').allTextContents(), [
    'POST /v1/robots/{id}/retire',
  ]);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(new URL(page.url()).hash, '#post_robots_id_retire');
  await page.locator('#find').fill('');
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await accessFindings(page), []);
  }
  const width = await page.locator('html').evaluate(({ scrollWidth }) => scrollWidth);
  assert.ok(width <= 400, `no line makes the page wider than a phone (got ${width})`);
  assert.deepEqual(complaints, []);
});
