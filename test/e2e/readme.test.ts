/** The commands of the README as they are printed, in their order, in a fresh folder. */

import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startChild } from '../helpers/child.ts';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

/** Both blocks in one shell: the second ends what the first began. */
async function blocksOfReadme(): Promise<string> {
  const text = await readFile(repositoryFile('README.md'), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block ?? '');
  assert.ok(blocks.length >= 2, 'the README shows a first release');
  return blocks.join('\n');
}

test('the commands of the README run as printed, and leave no process behind', async (t) => {
  if (requirePeer(t, 'unshare') === null || requirePeer(t, 'curl') === null) return;
  const folder = await tempFolder(t);
  const bin = join(folder, 'bin');
  await mkdir(bin);
  for (const [name, program] of [
    ['drover', 'publisher'],
    ['drover-broker', 'broker'],
    ['drover-robot', 'robot-client'],
  ] as const) {
    const main = fileURLToPath(new URL(`../../${program}/main.js`, import.meta.url));
    await writeFile(join(bin, name), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
    await chmod(join(bin, name), 0o755);
  }
  const site = join(folder, 'site');
  await mkdir(site);
  await writeFile(join(folder, 'readme.sh'), `${await blocksOfReadme()}\nwait\n`);
  // A network of its own: the ports of the README may be in use on this machine.
  const inside = 'ip link set lo up && exec bash -e ../readme.sh';
  const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const child = startChild(
    t,
    'unshare',
    ['-rn', '--pid', '--fork', '--kill-child', 'bash', '-c', inside],
    { cwd: site, env },
  );
  const late = setTimeout(() => child.kill('SIGKILL'), 120_000);
  const { code } = await child.exit;
  clearTimeout(late);
  // `wait` names the end of the last program that was killed on purpose.
  assert.ok(code === 0 || code === 143, child.describe());
  assert.match(child.stdout, /hello from 1\.0\.0/);
  assert.match(child.stdout, /app: runs 1\.0\.0/);
  assert.equal(await readlink(join(site, 'robot/active')), 'releases/1.0.0');
});
