/**
 * A staged release is checked again before the swap: one that was damaged meanwhile never boots.
 */

import assert from 'node:assert/strict';
import { chmod, cp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { tarGz } from '../../helpers/fleet.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';

const NEW = '1.1.0';
const APP = `#!/bin/sh\necho ${NEW}\n`;

async function bundle() {
  const files = { 'VERSION.txt': `${NEW}\n`, 'bin/app': { text: APP, mode: 0o755 } };
  return await fleet.makeBundle({ version: NEW, payload: await tarGz(files) });
}

/** Runs 1.0.0, with 1.1.0 unpacked and a robot that is busy. */
async function waiting(t: TestContext): Promise<{ bench: Bench; release: string }> {
  const bench = await Bench.open(t);
  await bench.hook('ready', 'exit 75');
  bench.announce(await bundle(), NEW);
  const isWaiting = (): boolean => bench.component.view.live.waitingFor !== null;
  await waitUntil('it to wait', isWaiting, { look: () => bench.describe() });
  return { bench, release: join(bench.root, 'releases', NEW) };
}

const DAMAGES: readonly [string, (release: string, bench: Bench) => Promise<unknown>][] = [
  ['is gone', (release) => rm(release, { recursive: true })],
  ['lost a file', (release) => rm(join(release, 'bin/app'))],
  ['lost a right', (release) => chmod(join(release, 'bin/app'), 0o644)],
  [
    'has other bytes of the same size',
    (release) => writeFile(join(release, 'bin/app'), APP.replace('echo', 'ohce')),
  ],
  [
    'is another tree',
    async (release, bench) => {
      await rm(release, { recursive: true });
      await cp(join(bench.root, 'releases', OLD), release, { recursive: true });
    },
  ],
];

async function endsWhole(bench: Bench): Promise<void> {
  await bench.runs(NEW);
  assert.equal(await readFile(join(bench.root, 'active/bin/app'), 'utf8'), APP);
  assert.deepEqual(bench.component.view.state.blocked, []);
}

/** Not before its time, so the clock goes on. */
async function tryAgain(bench: Bench): Promise<void> {
  assert.equal(await bench.component.retry(), true);
  bench.offer();
}

describe('a release that waits to be swapped in', () => {
  for (const [what, damage] of DAMAGES) {
    it(`and ${what} is not swapped to: nothing is stopped, and it is unpacked again`, async (t) => {
      const { bench, release } = await waiting(t);
      const stops = join(bench.root, 'stops');
      await bench.hook('stop', `echo stop >> ${stops}`);
      await damage(release, bench);
      await bench.hook('ready', 'exit 0');
      const isTold = (): boolean => bench.codes.includes('RELEASE_DAMAGED');
      await waitUntil('the damage to be told', isTold, { look: () => bench.describe() });
      assert.equal(await readlink(join(bench.root, 'active')), `releases/${OLD}`);
      await assert.rejects(readFile(stops), { code: 'ENOENT' });
      const { sent } = bench.carrier;
      await tryAgain(bench);
      await endsWhole(bench);
      assert.equal(bench.carrier.sent, sent, 'it is not downloaded again');
    });
  }

  it('and loses a file by the stop hook is not swapped to: what ran is started again', async (t) => {
    const { bench, release } = await waiting(t);
    const calls = join(bench.root, 'calls');
    await bench.hook('stop', `rm -f ${release}/bin/app; echo stop $DROVER_VERSION >> ${calls}`);
    await bench.hook('start', `echo start $DROVER_VERSION >> ${calls}`);
    await bench.hook('ready', 'exit 0');
    const hasEnded = ({ state } = bench.component.view): boolean =>
      state.phase === 'idle' && state.lastProblem?.code === 'RELEASE_DAMAGED';
    await waitUntil('it to be at rest again', hasEnded, { look: () => bench.describe() });
    assert.equal(await readFile(calls, 'utf8'), `stop ${OLD}\nstart ${OLD}\n`);
    assert.equal(await readlink(join(bench.root, 'active')), `releases/${OLD}`);
    await bench.hook('stop', 'exit 0');
    await tryAgain(bench);
    await endsWhole(bench);
  });
});

describe('a stop hook that fails', () => {
  it('is named by the hint, which speaks of no disk, and what runs goes on', async (t) => {
    const bench = await Bench.open(t);
    await bench.hook('stop', 'echo the arm is up; exit 3');
    bench.announce(await bundle(), NEW);
    await waitUntil('the failure', () => bench.codes.includes('SWAP_FAILED'));
    await bench.runs(OLD);
    const { message = '', hint = '' } = bench.component.view.state.lastProblem ?? {};
    assert.equal(message, `swap to ${NEW}: stop ${OLD}: exit 3 (the arm is up)`);
    assert.match(hint, /^run the stop hook by hand/);
    assert.doesNotMatch(hint, /dmesg/);
  });
});
