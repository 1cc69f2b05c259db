/** Commands that a signal ends half-way leave nothing half made, real processes throughout. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDrover } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const MIB = 2 ** 20;

async function makeApp(folder: string, bytes: number): Promise<string> {
  const app = join(folder, 'app');
  await mkdir(app);
  await writeFile(join(app, 'big'), randomBytes(bytes));
  return app;
}

const BUILD = ['--version', '1.0.0', '--arch', 'any'];

test('a build that a signal ends leaves no hidden folder, and ends by that signal', async (t) => {
  const cwd = await tempFolder(t);
  await makeApp(cwd, 60 * MIB);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const build = startDrover(t, 'publisher', ['build', 'app', ...BUILD, '--out', 'b1'], { cwd });
    await waitUntil('the build to have begun', async () => {
      assert.equal(build.ended, null, build.describe());
      return (await readdir(cwd)).some((name) => name.startsWith('.b1.'));
    });
    build.kill(signal);
    assert.deepEqual(await build.exit, { code: null, signal });
    assert.deepEqual(await readdir(cwd), ['app'], signal);
  }
});

test('a bundle file that is unpacked to be looked at is removed when a signal ends that', async (t) => {
  const cwd = await tempFolder(t);
  const app = await makeApp(cwd, 40 * MIB);
  const TMPDIR = join(cwd, 'tmp');
  await mkdir(TMPDIR);
  for (const line of [
    ['build', app, ...BUILD, '--out', 'b1'],
    ['keygen', '--out', 'k'],
    ['sign', 'b1', '--key', 'k.key'],
    ['pack', 'b1', '--out', 'b1.drover'],
  ]) {
    const child = startDrover(t, 'publisher', line, { cwd });
    assert.equal((await child.exit).code, 0, child.describe());
  }
  const inspect = startDrover(t, 'publisher', ['inspect', 'b1.drover'], { cwd, env: { TMPDIR } });
  await waitUntil('it to be unpacked', async () => (await readdir(TMPDIR)).length > 0);
  inspect.kill('SIGINT');
  await inspect.exit;
  assert.deepEqual(await readdir(TMPDIR), []);
});

test('a build removes what one that was killed left a day ago, and nothing else', async (t) => {
  const cwd = await tempFolder(t);
  await makeApp(cwd, 1_000);
  const [old, fresh, other] = ['.b1.drover-build-Abc123', '.b1.drover-build-Xyz789', '.b1.backup'];
  for (const name of [old, fresh, other] as string[]) {
    await mkdir(join(cwd, name));
    await writeFile(join(cwd, name, 'payload.tar.gz'), 'x');
  }
  const longAgo = Date.now() / 1000 - 3 * 86_400;
  for (const name of [old, other] as string[]) await utimes(join(cwd, name), longAgo, longAgo);
  const build = startDrover(t, 'publisher', ['build', 'app', ...BUILD, '--out', 'b1'], { cwd });
  assert.equal((await build.exit).code, 0, build.describe());
  assert.deepEqual((await readdir(cwd)).sort(), [other, fresh, 'app', 'b1'].sort());
});
