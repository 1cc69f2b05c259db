/** The runner's last line and exit code are what everybody trusts, so they are tested for real. */

import assert from 'node:assert/strict';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startChild, type Child } from '../helpers/child.ts';
import { Tally, type TestEnd } from '../helpers/tally.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const HELPERS = ['long-files', 'repository', 'run-seed', 'tally'];
const PASSING = `import { test } from 'node:test'; test('fine', () => {});`;
const FAILING = `import { test } from 'node:test'; test('bad', () => { throw new Error('boom'); });`;
const SKIPPING = `import { test } from 'node:test'; test('no', { skip: 'no nginx' }, () => {});`;
const CRASHING = `throw new Error('crash');`;
const LEAVING = `process.exit(0);`;

/** Our compiled runner over a small repository; names starting with `stale` have no source. */
async function runOver(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  options: { areas?: string[]; ci?: boolean } = {},
): Promise<{ child: Child; code: number | null; lastLine: string }> {
  const root = await tempFolder(t);
  await writeFile(join(root, 'package.json'), '{"type":"module"}');
  const compiled = dirname(dirname(fileURLToPath(import.meta.url)));
  for (const name of ['run', ...HELPERS.map((one) => `helpers/${one}`)]) {
    await cp(join(compiled, `${name}.js`), join(root, `dist/test/${name}.js`));
  }
  for (const [name, text] of Object.entries(files)) {
    const [source, built] = [join(root, `test/${name}.ts`), join(root, `dist/test/${name}.js`)];
    await mkdir(dirname(source), { recursive: true });
    await mkdir(dirname(built), { recursive: true });
    await writeFile(built, text);
    if (!name.includes('/stale')) await writeFile(source, '');
  }
  const env = { CI: options.ci === true ? 'true' : undefined, NODE_TEST_CONTEXT: undefined };
  const args = [join(root, 'dist/test/run.js'), ...(options.areas ?? [])];
  const child = startChild(t, process.execPath, args, { cwd: root, env });
  const { code } = await child.exit;
  return { child, code, lastLine: child.stdout.trimEnd().split('\n').at(-1) ?? '' };
}

test('ends with the count and exit code 0 when all tests passed', async (t) => {
  const { code, lastLine } = await runOver(t, { 'a/one.test': PASSING, 'b/two.test': PASSING });
  assert.deepEqual([code, lastLine], [0, '2 passed, 0 failed']);
});

test('ends with the count and exit code 1 when a test failed, and shows the failure', async (t) => {
  const { child, code, lastLine } = await runOver(t, { 'a/1.test': PASSING, 'a/2.test': FAILING });
  assert.deepEqual([code, lastLine], [1, '1 passed, 1 failed']);
  assert.match(child.stdout, /boom/);
});

test('a test file that crashes or leaves without a test is a failure', async (t) => {
  const files = { 'a/1.test': PASSING, 'a/2.test': CRASHING, 'a/3.test': LEAVING };
  const { code, lastLine } = await runOver(t, files);
  assert.deepEqual([code, lastLine], [1, '1 passed, 2 failed']);
});

test('a run without a test is a failure', async (t) => {
  const { code, lastLine } = await runOver(t, {});
  assert.deepEqual([code, lastLine], [1, '0 passed, 0 failed']);
});

test('a skipped test passes on a desk and fails where CI=true', async (t) => {
  const files = { 'a/1.test': PASSING, 'a/2.test': SKIPPING };
  const desk = await runOver(t, files);
  assert.deepEqual([desk.code, desk.lastLine], [0, '1 passed, 0 failed, 1 skipped']);
  const ci = await runOver(t, files, { ci: true });
  assert.deepEqual([ci.code, ci.lastLine], [1, '1 passed, 1 failed']);
  assert.match(ci.child.stdout, /no nginx/);
});

test('runs only the areas that are named, never helpers, and never a stale file', async (t) => {
  const files = { 'a/1.test': PASSING, 'b/2.test': FAILING, 'helpers/3.test': FAILING };
  const stale = { 'a/stale.test': FAILING };
  const { code, lastLine } = await runOver(t, { ...files, ...stale }, { areas: ['a'] });
  assert.deepEqual([code, lastLine], [0, '1 passed, 0 failed']);
  const unknown = await runOver(t, files, { areas: ['c'] });
  assert.equal(unknown.code, 2);
});

test('quick and rest share all files between them', async (t) => {
  const quick = { 'a/one.test': PASSING, 'a/deep/two.test': PASSING };
  const rest = { 'a/three.slow.test': FAILING, 'e2e/four.test': FAILING };
  const files = { ...quick, ...rest, 'e2e/life-broker.test': PASSING, 'campaign/5.test': FAILING };
  const first = await runOver(t, files, { areas: ['--quick'] });
  assert.deepEqual([first.code, first.lastLine], [0, '3 passed, 0 failed']);
  const second = await runOver(t, files, { areas: ['--rest'] });
  assert.deepEqual([second.code, second.lastLine], [1, '0 passed, 2 failed']);
});

/** Fails the first time that it runs in its folder, and passes from then on. */
const UNSTEADY = `import { existsSync, writeFileSync } from 'node:fs'; import { test } from 'node:test';
test('second', () => { if (existsSync('ran')) return; writeFileSync('ran', ''); throw new Error('first'); });
test('other', () => {});`;

test('in CI a file with real programs that failed runs again alone, and counts as it ends there', async (t) => {
  const files = { 'a/1.test': PASSING, 'e2e/2.test': UNSTEADY, 'e2e/3.test': PASSING };
  const desk = await runOver(t, files);
  assert.deepEqual([desk.code, desk.lastLine], [1, '3 passed, 1 failed']);
  const ci = await runOver(t, files, { ci: true });
  assert.deepEqual([ci.code, ci.lastLine], [0, '4 passed, 0 failed']);
  assert.match(ci.child.stdout, /^unsteady: e2e\/2.test.js passed only alone$/m);
  const bad = await runOver(t, { ...files, 'kill/4.test': FAILING }, { ci: true });
  assert.deepEqual([bad.code, bad.lastLine], [1, '4 passed, 1 failed']);
});

test('nothing runs again where a quick test failed, or a file was cut short, or many failed', async (t) => {
  const quick = await runOver(t, { 'a/1.test': UNSTEADY, 'e2e/2.test': PASSING }, { ci: true });
  assert.deepEqual([quick.code, quick.lastLine], [1, '2 passed, 1 failed']);
  const crash = await runOver(t, { 'e2e/1.test': CRASHING, 'e2e/2.test': PASSING }, { ci: true });
  assert.deepEqual([crash.code, crash.lastLine], [1, '1 passed, 1 failed']);
  const six = [1, 2, 3, 4, 5, 6].map((at) => [`e2e/${at}.test`, FAILING] as const);
  const many = await runOver(t, Object.fromEntries(six), { ci: true });
  assert.deepEqual([many.code, many.lastLine], [1, '0 passed, 6 failed']);
  assert.doesNotMatch(many.child.stdout, /again, one by one/);
});

const end = (more: Partial<TestEnd>): TestEnd => ({ name: 'x', nesting: 0, file: '/f', ...more });

test('counts leaf tests, not the suites and tests around them', () => {
  const tally = new Tally({ skipsFail: false });
  tally.pass(end({ nesting: 2 }));
  tally.pass(end({ nesting: 2 }));
  tally.pass(end({ nesting: 1 }));
  tally.pass(end({ nesting: 0, type: 'suite' }));
  tally.pass(end({ nesting: 0 }));
  assert.equal(tally.line, '3 passed, 0 failed');
});

test('counts a failing subtest once, and a parent that fails by itself too', () => {
  const tally = new Tally({ skipsFail: false });
  tally.fail(end({ nesting: 1, failureType: 'testCodeFailure' }));
  tally.fail(end({ nesting: 0, failureType: 'subtestsFailed' }));
  assert.equal(tally.line, '0 passed, 1 failed');
  tally.pass(end({ nesting: 1 }));
  tally.fail(end({ nesting: 0, failureType: 'testCodeFailure' }));
  assert.equal(tally.line, '1 passed, 2 failed');
  tally.fail(end({ nesting: 0, type: 'suite', failureType: 'hookFailed' }));
  assert.equal(tally.line, '1 passed, 3 failed');
  assert.equal(tally.isGood, false);
});

test('a test for another platform may be skipped anywhere, a todo nowhere', () => {
  const tally = new Tally({ skipsFail: true });
  tally.pass(end({ skip: 'not on this platform: needs Linux' }));
  assert.equal(tally.line, '0 passed, 0 failed, 1 skipped');
  tally.pass(end({ todo: true }));
  tally.pass(end({ skip: true }));
  assert.equal(tally.line, '0 passed, 2 failed, 1 skipped');
});
