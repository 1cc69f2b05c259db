/**
 * The page of a broker in a real browser: a person signs in, sees and steers a rollout; hostile
 * texts stay texts; a page of another origin can do nothing; axe has no findings.
 */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { hashPassword } from '../../../broker/access/passwords.ts';
import type { UpstreamStatus } from '../../../broker/relay/relay-view.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { publicKeyOf } from '../../../shared/crypto/ed25519.ts';
import { accessFindings, openPage } from '../../helpers/browser.ts';
import { fixedSeed } from '../../helpers/fleet.ts';
import type { Scope } from '../../helpers/scope.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { startApi, type TestApi } from '../api.ts';
import { leadTen, type TenRobots } from '../ten-robots.ts';

const PASSWORD = 'correct horse battery';
const HOSTILE = '<img src=x onerror="globalThis.hacked=1"><script>hacked=1</script>';

/** A controller that leads `x-1` to ten robots, the first of which is a canary. */
async function lead(
  scope: Scope,
  { isProtected = true, ...more }: Partial<RolloutFields> & { isProtected?: boolean } = {},
): Promise<TenRobots> {
  const password_scrypt = await hashPassword(utf8(PASSWORD));
  const users = [{ username: 'alice', role: 'publisher' as const, password_scrypt }];
  return await leadTen(scope, more, { users, protected: isProtected });
}

/** Its canary has it and does its work; the others go on with the old version. */
async function soak({ world, controller }: TenRobots): Promise<void> {
  for (const part of [0, 1]) {
    world.installed('r0', 'x-1', '2.0.0', { run_s: 60 * part, tasks_completed: 60 });
    for (let at = 1; at < 10; at += 1) {
      const usage = [{ stint: 1, version: '1.0.0', run_s: 60 * part, tasks_completed: 50 * part }];
      world.say(`r${at}`, { usage });
    }
    await world.pass(controller, 125);
  }
}

async function signIn(page: Page, api: TestApi, secret = PASSWORD): Promise<void> {
  await page.goto(api.url);
  await page.locator('#username').fill('alice');
  await page.locator('#secret').fill(secret);
  await page.keyboard.press('Enter');
}

const textOf = async (page: Page, id: string): Promise<string> =>
  (await page.locator(`#${id}`).textContent()) ?? '';
const textsOf = (page: Page, selector: string): Promise<string[]> =>
  page.locator(selector).allTextContents();
const waitForText = (page: Page, id: string, text: RegExp | string): Promise<void> =>
  page.locator(`#${id}`).filter({ hasText: text }).waitFor();

describe('the page', () => {
  it('lets a person in by password, says who that is, and out again', async (t) => {
    const { api } = await lead(t);
    const opened = await openPage(t);
    if (!opened) return;
    const { page, complaints } = opened;
    await signIn(page, api, 'wrong horse');
    await waitForText(page, 'sign-in-problem', /user name or password is wrong/);
    assert.equal(complaints.length, 1, 'the refusal itself');
    await page.locator('#secret').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await waitForText(page, 'who', 'alice, publisher');
    await waitForText(page, 'rollouts', '2.0.0');
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie?.httpOnly, cookie?.sameSite], [true, 'Strict']);
    await page.reload();
    await waitForText(page, 'rollouts', '2.0.0');
    await page.locator('#sign-out').click();
    await page.locator('#sign-in').waitFor();
    assert.equal(await page.locator('#fleet').isVisible(), false);
    assert.equal((await page.context().cookies()).length, 0);
  });

  it('asks for a new sign-in once the credential is gone', async (t) => {
    const { api } = await lead(t);
    const opened = await openPage(t);
    if (!opened) return;
    const { page } = opened;
    await signIn(page, api);
    await waitForText(page, 'rollouts', '2.0.0');
    await api.changeUsers([]);
    await page.locator('#sign-in').waitFor();
    assert.equal(await page.locator('#fleet').isVisible(), false);
  });

  it('finds a robot by the version, the phase and the problem of its second component', async (t) => {
    const { world, api } = await lead(t, { isProtected: false });
    const stuck = { code: 'DISK_FULL', message: 'write: no space', hint: 'make room', at: AT };
    const nav = { name: 'nav', version: '7.7.0', phase: 'stuck', last_error: stuck } as const;
    world.say('r7', {}, { components: [nav] });
    const opened = await openPage(t);
    if (!opened) return;
    const { page } = opened;
    await page.goto(api.url);
    await waitForText(page, 'robots', 'r9');
    assert.equal((await textsOf(page, '#robots tr')).length, 10);
    for (const words of ['7.7.0', 'stuck', 'DISK_FULL', 'nav r7']) {
      await page.locator('#find').fill(words);
      const rows = await textsOf(page, '#robots tr');
      assert.equal(rows.length, 1, words);
      assert.match(rows.join(), /r7.*nav/);
    }
    await page.locator('#find').fill('nav r8');
    await waitForText(page, 'note', 'No robot is like that.');
  });

  it('shows waves, what a rollout waits for, the verdict and each line of evidence', async (t) => {
    const led = await lead(t, { isProtected: false });
    await soak(led);
    const opened = await openPage(t);
    if (!opened) return;
    const { page, complaints } = opened;
    await page.goto(led.api.url);
    await waitForText(page, 'rollouts', '2.0.0');
    assert.deepEqual(await textsOf(page, '#rollouts li'), [
      'canariesopenthen a person has to approve',
      '10 %',
      '100 %',
    ]);
    const evidence = led.controller.view('x-1')?.gate?.evidence ?? [];
    assert.ok(evidence.length > 2);
    assert.deepEqual(
      await textsOf(page, '#rollouts tr'),
      evidence.map(
        ({ metric, against, verdict, text }) => `${metric} / ${against}${verdict}${text}`,
      ),
    );
    assert.match(await textOf(page, 'rollouts'), /gate: pass/);
    assert.match(await textOf(page, 'rollouts'), /waits for a person: drover rollout approve x-1/);
    await page.locator('#rollouts a').click();
    await waitForText(page, 'waits', 'for a person: drover rollout approve x-1');
    const [canaries] = await textsOf(page, '#waves li');
    assert.equal(canaries, 'canariesopen, then a person has to approve1 robot: 1 done');
    assert.ok((await page.locator('#evidence svg').count()) > 0);
    assert.deepEqual(complaints, []);
  });

  it('says why a rollout was halted, and names and links the robot that failed', async (t) => {
    const { world, controller, api } = await lead(t, { isProtected: false });
    world.failed('r0', 'x-1', '2.0.0');
    await world.pass(controller, 3);
    const opened = await openPage(t);
    if (!opened) return;
    const { page } = opened;
    await page.goto(`${api.url}/#/rollouts/x-1`);
    await waitForText(page, 'summary', /0 of 1 updates succeeded, 90 % must; failed: 1 \(r0\)/);
    await waitForText(page, 'members', /HEALTH_FAILED/);
    await page.locator('#members a', { hasText: 'r0' }).click();
    await waitForText(page, 'robot-title', 'r0');
    await waitForText(page, 'robot-facts', 'app 1.0.0');
  });

  it('steers by keyboard: an approval at once, what is final with the id typed', async (t) => {
    const led = await lead(t);
    await soak(led);
    const { world, controller, api } = led;
    const opened = await openPage(t);
    if (!opened) return;
    const { page } = opened;
    await signIn(page, api);
    await page.locator('#rollouts a').press('Enter');
    await page.locator('.commands button', { hasText: 'Approve wave 0' }).press('Enter');
    await waitForText(page, 'confirm-effect', 'the next wave opens to');
    await page.keyboard.type('looks good');
    await page.keyboard.press('Enter');
    await waitForText(page, 'notice', 'Approve wave 0: the controller has taken it.');
    await world.pass(controller, 2);
    await waitForText(page, 'history', /approve of wave 0 by alice: looks good/);
    assert.equal(controller.view('x-1')?.wave, 1);
    await page.locator('.commands button', { hasText: 'Roll back' }).press('Enter');
    await waitForText(page, 'confirm-effect', '1 robot goes back');
    await page.keyboard.type('x-2');
    assert.equal(await page.locator('#go').isDisabled(), true);
    await page.keyboard.press('Enter');
    await page.keyboard.press('Backspace');
    await page.keyboard.type('1');
    await page.keyboard.press('Enter');
    await waitForText(page, 'notice', 'Roll back: the controller has taken it.');
    assert.equal(controller.view('x-1')?.status, 'rolling_back');
    await page.locator('#commands summary').click();
    await waitForText(
      page,
      'commands',
      'Roll back: rollback rollout x-1: its robots go back already',
    );
  });

  it('shows a user with a key the command to type in the place of a button', async (t) => {
    const led = await lead(t);
    await soak(led);
    const opened = await openPage(t);
    if (!opened) return;
    const { page } = opened;
    const password_scrypt = await hashPassword(utf8(PASSWORD));
    const approval_key = publicKeyOf(fixedSeed(41));
    const alice = { username: 'alice', role: 'publisher', password_scrypt, approval_key } as const;
    await led.api.changeUsers([alice]);
    await signIn(page, led.api);
    await waitForText(page, 'who', 'alice, publisher');
    await page.locator('#rollouts a').click();
    await waitForText(page, 'commands', 'type: drover rollout approve x-1 --wave 0 --key FILE');
    const buttons = await textsOf(page, '#commands button');
    assert.deepEqual(buttons, ['Pause', 'Abort', 'Roll back']);
    const shown = page.locator('#commands .commands li').filter({ hasText: 'Approve wave 0' });
    assert.ok(await shown.isVisible());
  });

  it('shows the refusal alone for a robot or a rollout that nobody knows', async (t) => {
    const { api } = await lead(t, { isProtected: false });
    const opened = await openPage(t);
    if (!opened) return;
    const { page } = opened;
    await page.goto(`${api.url}/#/robots/r1`);
    await waitForText(page, 'robot-facts', 'app 1.0.0');
    for (const [address, refusal] of [
      ['#/robots/unknown', 'never heard of it'],
      ['#/rollouts/nope', 'it is not announced'],
    ] as const) {
      await page.goto(`${api.url}/${address}`);
      await waitForText(page, 'missing', refusal);
      const shown = await textsOf(page, 'main > :is(div, article):not([hidden])');
      assert.deepEqual(shown, []);
    }
    await page.goto(`${api.url}/#/robots/r2`);
    await waitForText(page, 'robot-facts', 'app 1.0.0');
    assert.equal(await textOf(page, 'missing'), '');
    assert.equal(await page.locator('#robot').isVisible(), true);
  });

  it('shows texts of hostile robots as texts', async (t) => {
    const { world, controller, api } = await lead(t, { isProtected: false });
    const job = { rollout: 'x-1', target_version: '2.0.0' };
    const last_error = { code: 'HEALTH_FAILED', message: HOSTILE, hint: HOSTILE, at: AT };
    world.say(
      'r0',
      { ...job, phase: 'waiting', waiting_for: HOSTILE },
      { model: '<img src=x onerror=hacked=1>' },
    );
    world.say('r1', { last_error }, { tags: [] });
    await world.pass(controller, 2);
    const opened = await openPage(t);
    if (!opened) return;
    const { page, complaints } = opened;
    for (const [hash, part] of [
      ['', 'robots'],
      ['#/rollouts/x-1', 'members'],
      ['#/robots/r1', 'robot-facts'],
    ] as const) {
      await page.goto(`${api.url}/${hash}`);
      await waitForText(page, part, HOSTILE);
    }
    await page.goto(`${api.url}/#/rollouts/${encodeURIComponent(HOSTILE)}`);
    await waitForText(page, 'link', 'it is not announced');
    const found = await page.evaluate(
      "({ hacked: 'hacked' in globalThis, images: document.querySelectorAll('img, script:not([src])').length })",
    );
    assert.deepEqual(found, { hacked: false, images: 0 });
    assert.ok(
      complaints.every((text) => /404/.test(text)),
      complaints.join('\n'),
    );
  });

  it('says how a relay reaches the broker above', async (t) => {
    const api = await startApi(t, { upstream: () => AWAY });
    const opened = await openPage(t);
    if (!opened) return;
    await opened.page.goto(api.url);
    const line =
      /upstream lost.*43 reports wait, 7 chunks to come: reach broker: refused \u00b7 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]/;
    await waitForText(opened.page, 'link', line);
  });
});

describe('a page of another origin', () => {
  it('cannot steer with the session of a person, whatever it sends', async (t) => {
    const { api, controller } = await lead(t);
    const opened = await openPage(t);
    if (!opened) return;
    const { page } = opened;
    await signIn(page, api);
    await waitForText(page, 'who', 'alice');
    const target = `${api.url}/rollouts/x-1/pause`;
    await page.goto(await serveElsewhere(t, target));
    await page.waitForFunction("document.title !== 'evil'");
    assert.match(await page.title(), /^failed,failed,failed,failed/);
    await page.locator('form button').click();
    await page.waitForURL(target);
    assert.match((await page.locator('body').textContent()) ?? '', /HTTP_UNAUTHORIZED|USAGE/);
    assert.equal(controller.view('x-1')?.status, 'rolling');
  });
});

/** Another port of the same host: the same site to a browser, but another origin. */
async function serveElsewhere(t: TestContext, target: string): Promise<string> {
  const tries = [
    `{ method: 'POST', mode: 'no-cors', headers: { 'content-type': 'application/json' }, body: '{}' }`,
    `{ method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }`,
    `{ method: 'POST', headers: { 'x-drover-csrf': 'x' }, body: '{}' }`,
    `{}`,
  ];
  const calls = tries.map((init) => `ask({ ...${init}, credentials: 'include' })`).join(', ');
  const html = `<!doctype html><title>evil</title><form method="post" enctype="text/plain"
    action="${target}"><input name='{"a":"' value='"}'><button>go</button></form>
    <script>const ask = (init) => fetch('${target}', init).then((r) => r.json())
    .then(() => 'read', () => 'failed');
    Promise.all([${calls}]).then((all) => { document.title = all.join(','); });</script>`;
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end(html);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => void server.close());
  server.unref();
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`;
}

describe('a person who uses a keyboard, a reader of screens, or a phone', () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    it(`has no finding of axe against any part of the page (${colorScheme})`, async (t) => {
      const led = await lead(t);
      const { world, controller, api } = led;
      await soak(led);
      world.failed('r1', 'x-1', '2.0.0');
      await world.pass(controller, 1);
      const viewport = { width: colorScheme === 'light' ? 1280 : 400, height: 800 };
      const opened = await openPage(t, { colorScheme, viewport });
      if (!opened) return;
      const { page } = opened;
      await page.goto(api.url);
      await page.locator('#sign-in').waitFor();
      assert.deepEqual(await accessFindings(page), []);
      await signIn(page, api);
      await waitForText(page, 'robots', 'r9');
      assert.deepEqual(await accessFindings(page), []);
      await page.locator('#rollouts a').click();
      await page.locator('#history li').first().waitFor();
      await page.locator('#commands button').first().waitFor();
      for (const closed of await page.locator('details').all()) await closed.click();
      assert.deepEqual(await accessFindings(page), []);
      const wide = await page.evaluate('document.documentElement.scrollWidth');
      assert.ok(Number(wide) <= viewport.width, `${String(wide)} px wide`);
      await page.locator('.commands button', { hasText: 'Abort' }).click();
      await page.locator('#confirm[open]').waitFor();
      assert.deepEqual(await accessFindings(page), []);
      await page.keyboard.press('Escape');
      await page.goto(`${api.url}/#/robots/r1`);
      await waitUntil('the robot', async () => /app 1/.test(await textOf(page, 'robot-facts')));
      assert.deepEqual(await accessFindings(page), []);
    });
  }
});

const AT = '2026-06-01T00:00:00Z';
const AWAY: UpstreamStatus = {
  ...{ name: 'site-a', url: 'mqtts://cloud:8883', isUp: false, areChunksUp: false },
  sinceMs: Date.UTC(2026, 4, 4, 10),
  problem: { code: 'BROKER_UNREACHABLE', message: 'reach broker: refused', hint: 'check it' },
  backlog: { states: 3, events: 40, dropped: 2 },
  bundles: [{ id: 'app-1', chunks: 9, missing: 7, unavailable: 1, known: true }],
  missing: 7,
  bytesPulled: 1234,
};
