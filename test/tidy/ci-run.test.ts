/** `.ci/run` over a small repository of its own: last line and exit code, whatever npm adds. */

import assert from 'node:assert/strict';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

/** @param script what `npm test` runs there, and `rest` what `npm run test:full` does */
async function runCi(
  t: TestContext,
  script: string,
  { rest = 'console.log("2 passed, 0 failed")', setup = '' } = {},
): Promise<{ code: number | null; lastLine: string | undefined }> {
  const root = await tempFolder(t);
  await mkdir(join(root, '.ci'));
  await cp(repositoryFile('.ci/run'), join(root, '.ci/run'));
  const name = { name: 'small', version: '1.0.0' };
  const lock = { ...name, lockfileVersion: 3, packages: { '': name } };
  await writeFile(join(root, 'package-lock.json'), JSON.stringify(lock));
  const scripts = { setup: 'node setup.cjs', test: 'node test.cjs', 'test:full': 'node rest.cjs' };
  await writeFile(join(root, 'package.json'), JSON.stringify({ ...name, scripts }));
  for (const [file, text] of Object.entries({ setup, test: script, rest })) {
    await writeFile(join(root, `${file}.cjs`), text);
  }
  const child = startChild(t, 'bash', ['.ci/run'], { cwd: root });
  const { code } = await child.exit;
  return { code, lastLine: child.stdout.trimEnd().split('\n').at(-1) };
}

const GOOD = 'console.log("3 passed, 0 failed, 1 skipped")';

test('.ci/run ends with one count of both parts of a good run', async (t) => {
  assert.deepEqual(await runCi(t, GOOD), { code: 0, lastLine: '5 passed, 0 failed, 1 skipped' });
});

test('.ci/run ends with the count of a bad run, after all that npm has to say', async (t) => {
  const script = 'console.log("3 passed, 1 failed"); process.exitCode = 1;';
  assert.deepEqual(await runCi(t, script), { code: 1, lastLine: '5 passed, 1 failed' });
  const bad = await runCi(t, GOOD, { rest: script });
  assert.deepEqual(bad, { code: 1, lastLine: '6 passed, 1 failed, 1 skipped' });
});

test('.ci/run fails a run that never counted anything, even if it ended well', async (t) => {
  assert.deepEqual(await runCi(t, ''), { code: 1, lastLine: '2 passed, 1 failed' });
  const bad = await runCi(t, GOOD, { rest: '' });
  assert.deepEqual(bad, { code: 1, lastLine: '3 passed, 1 failed, 1 skipped' });
});

test('.ci/run fails where the programs that tests need cannot be installed', async (t) => {
  const bad = await runCi(t, GOOD, { setup: 'process.exitCode = 1' });
  assert.deepEqual(bad, { code: 1, lastLine: '0 passed, 1 failed' });
});

test('the programs that tests need are looked for in one list', async (t) => {
  const list = await readFile(repositoryFile('test/install-peers.sh'), 'utf8');
  for (const peer of ['mosquitto', 'zstd', 'jq', 'curl', 'openssl', 'tar', 'python3']) {
    assert.match(list, new RegExp(`^${peer}: `, 'm'));
  }
  const syntax = startChild(t, 'bash', ['-n', repositoryFile('test/install-peers.sh')]);
  assert.deepEqual(await syntax.exit, { code: 0, signal: null });
});
