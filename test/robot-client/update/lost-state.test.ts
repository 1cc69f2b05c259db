/** A robot whose state file is gone or damaged goes on so that an unconfirmed version stays one. */

import assert from 'node:assert/strict';
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { adoptRoots } from '../../../robot-client/commands/adopt-roots.ts';
import { explainAtRest } from '../../../robot-client/commands/at-rest.ts';
import { layoutOf, type Layout } from '../../../robot-client/install/layout.ts';
import { step } from '../../../robot-client/update/machine.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { readMachineState, writeMachineState } from '../../../robot-client/update/state-file.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { Bench, fleet } from '../bench.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** A root with 1.1.0 active and, unless it is null, that text as the link of rollback. */
async function makeRoot(rollback: string | null): Promise<Layout> {
  const root = await mkdtemp(join(tmpdir(), 'drover-lost-'));
  folders.push(root);
  for (const version of ['1.0.0', '1.1.0']) {
    await mkdir(join(root, 'releases', version), { recursive: true });
  }
  await symlink('releases/1.1.0', join(root, 'active'));
  if (rollback !== null) await symlink(rollback, join(root, 'rollback'));
  await mkdir(join(root, 'state'));
  return layoutOf(root);
}

const recoverOn = (layout: Layout) =>
  recoverComponent({
    component: 'app',
    root: layout.root,
    disk: realDisk,
    hooksFolder: `${layout.root}/no-hooks`,
    bootsMax: 3,
    adoptVersion: '0.0.0',
  });

const DAMAGES: readonly [string, (layout: Layout) => Promise<unknown>][] = [
  ['is gone with its folder', ({ state }) => rm(state, { recursive: true })],
  ['is empty', ({ machineFile }) => writeFile(machineFile, '')],
  ['is of something else', ({ machineFile }) => writeFile(machineFile, '{"schema":7}')],
  ['is a folder', ({ machineFile }) => mkdir(machineFile)],
  [
    'names a phase and no job',
    ({ machineFile }) =>
      writeFile(machineFile, JSON.stringify({ ...freshState(), phase: 'probation' })),
  ],
  [
    'is a folder for the second time',
    async ({ machineFile }) => {
      await mkdir(join(`${machineFile}.corrupt`, 'x'), { recursive: true });
      await mkdir(machineFile);
    },
  ],
];

describe('a lost state', () => {
  for (const [how, damage] of DAMAGES) {
    it(`puts what runs on probation when machine.json ${how}, and unconfirmed boots go back`, async () => {
      const layout = await makeRoot('releases/1.0.0');
      await damage(layout);
      for (const boot of [1, 2, 3]) {
        const recovery = await recoverOn(layout);
        assert.equal(recovery.phase, 'probation', `boot ${boot}`);
        assert.match(recovery.actions.join('\n'), /STATE_LOST/);
      }
      const state = await readMachineState(realDisk, layout, NOW);
      assert.equal(state.lastProblem?.code, 'STATE_LOST');
      const last = await recoverOn(layout);
      assert.equal(last.version, '1.0.0');
      const { blocked } = await readMachineState(realDisk, layout, NOW);
      const world = makeWorld();
      const offer = announce(world, [makeRollout(world, { version: '1.1.0' })]);
      const { verdict } = decideOffer(offer, { ...factsOf(world), version: '1.0.0', blocked });
      assert.equal(verdict.kind === 'refuse' && verdict.problem.code, 'FAILED_BEFORE');
      assert.equal(await readlink(layout.active), 'releases/1.0.0');
    });
  }

  it('of another robot, in its first install, goes back to the release that stands here', async () => {
    const lost = await makeRoot('releases/1.0.0');
    const { job } = await readMachineState(realDisk, lost, NOW);
    assert.ok(job);
    for (const phase of ['probation', 'rolling_back'] as const) {
      const layout = await makeRoot('releases/1.0.0');
      const copied = { ...freshState(), phase, job: { ...job, previousVersion: null, boots: 3 } };
      await writeMachineState(realDisk, layout, copied);
      assert.equal((await recoverOn(layout)).version, '1.0.0', phase);
      assert.equal(await readlink(layout.active), 'releases/1.0.0', phase);
    }
  });

  it('is over when what runs is healthy, and is no update of any rollout', async () => {
    const layout = await makeRoot('releases/1.0.0');
    const state = await readMachineState(realDisk, layout, NOW);
    const { state: after } = step(state, { kind: 'healthy' }, NOW);
    assert.deepEqual({ ...after }, { ...freshState(), lastActive: '1.1.0', highest: '1.1.0' });
    await writeMachineState(realDisk, layout, after);
    assert.equal((await recoverOn(layout)).phase, 'idle');
  });

  it('is reported, and is no probation, when there is no release to go back to', async () => {
    for (const rollback of ['releases/1.1.0', 'releases/9.9.9', '/nowhere']) {
      const layout = await makeRoot(rollback);
      const state = await readMachineState(realDisk, layout, NOW);
      assert.equal(state.phase, 'idle', rollback);
      assert.equal(state.lastProblem?.code, 'STATE_LOST', rollback);
    }
  });

  it('is none in a root that came with one release', async () => {
    const layout = await makeRoot(null);
    const fresh = { ...freshState(), lastActive: '1.1.0' };
    assert.deepEqual(await readMachineState(realDisk, layout, NOW), fresh);
  });
});

describe('a state that is older than the links', () => {
  const older = { ...freshState(), lastActive: '1.0.0', highest: '1.0.0' };

  it('puts what was never confirmed on probation, in every phase before a swap', async () => {
    for (const phase of ['idle', 'downloading', 'waiting'] as const) {
      const layout = await makeRoot('releases/1.0.0');
      const lost = await readMachineState(realDisk, layout, NOW);
      assert.ok(lost.job);
      const job = phase === 'idle' ? null : { ...lost.job, version: '1.1.0' };
      await writeMachineState(realDisk, layout, { ...older, phase, job });
      for (const boot of [1, 2, 3]) {
        const recovery = await recoverOn(layout);
        assert.equal(recovery.phase, 'probation', `${phase}, boot ${boot}`);
        if (boot === 1)
          assert.match(recovery.actions.join('\n'), /older than the links.*STATE_LOST/);
      }
      const { version } = await recoverOn(layout);
      assert.equal(version, '1.0.0', phase);
      const { blocked } = await readMachineState(realDisk, layout, NOW);
      assert.deepEqual(
        blocked.map((one) => one.version),
        ['1.1.0'],
      );
    }
  });

  it('says nothing against a release that was confirmed, or below one that was', async () => {
    for (const known of [
      { lastActive: '1.1.0' },
      { lastActive: '1.0.0', highest: '1.2.0' },
      { lastActive: null, highest: null },
    ]) {
      const layout = await makeRoot('releases/1.0.0');
      await writeMachineState(realDisk, layout, { ...older, ...known });
      const state = await readMachineState(realDisk, layout, NOW);
      assert.deepEqual([state.phase, state.lastActive], ['idle', '1.1.0'], JSON.stringify(known));
    }
  });

  it('stays at rest without another release to go back to', async () => {
    const layout = await makeRoot(null);
    await writeMachineState(realDisk, layout, older);
    assert.equal((await readMachineState(realDisk, layout, NOW)).phase, 'idle');
  });
});

describe('a robot at rest', () => {
  const atRest = (layout: Layout) =>
    explainAtRest(realDisk, [{ component: 'app', root: layout.root }]);

  for (const [how, damage] of DAMAGES) {
    it(`is explained as the agent would go on when machine.json ${how}, and nothing is changed`, async () => {
      const layout = await makeRoot('releases/1.0.0');
      await damage(layout);
      const before = await readdir(layout.root, { recursive: true });
      const { isWhole, lines, components } = await atRest(layout);
      assert.equal(isWhole, false);
      assert.match(lines.join('\n'), /1\.1\.0 is on probation/);
      assert.match(lines.join('\n'), /STATE_LOST/);
      assert.match(JSON.stringify(components), /"phase":"probation"/);
      assert.deepEqual(await readdir(layout.root, { recursive: true }), before);
    });
  }

  it('is whole without a state and without a rollback, as an image brings it', async () => {
    assert.equal((await atRest(await makeRoot(null))).isWhole, true);
  });
});

describe('a state of a newer drover-robot', () => {
  const newer = JSON.stringify({ ...freshState(), schema: 99, phase: 'levitating' });

  it('is left as it is by recover, explain and adopt, which say so', async () => {
    const layout = await makeRoot('releases/1.0.0');
    await writeFile(layout.machineFile, newer);
    const before = await readdir(layout.root, { recursive: true });
    const { version, problems } = await recoverOn(layout);
    assert.equal(version, '1.1.0');
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['STATE_NEWER'],
    );
    const roots = [{ component: 'app', root: layout.root }];
    const { isWhole, lines } = await explainAtRest(realDisk, roots);
    assert.equal(isWhole, false);
    assert.match(lines.join('\n'), /STATE_NEWER/);
    const input = { disk: realDisk, roots, version: '0.0.0', isDryRun: false };
    await assert.rejects(adoptRoots(input), { code: 'STATE_NEWER' });
    assert.equal(await readFile(layout.machineFile, 'utf8'), newer);
    assert.deepEqual(await readdir(layout.root, { recursive: true }), before);
  });

  it('leads back by the links alone when what boots is gone, and leaves the state', async () => {
    const layout = await makeRoot('releases/1.0.0');
    await writeFile(layout.machineFile, newer);
    await rm(layout.active);
    const { version, problems, actions } = await recoverOn(layout);
    assert.equal(version, '1.0.0', actions.join('\n'));
    assert.equal(await readlink(layout.active), 'releases/1.0.0');
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['STATE_NEWER'],
    );
    assert.equal(await readFile(layout.machineFile, 'utf8'), newer);
  });

  it('keeps an agent from changing anything until it is another one', async (t) => {
    const bench = await Bench.open(t);
    const { machineFile } = layoutOf(bench.root);
    await writeFile(machineFile, newer);
    await bench.cutPower();
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await bench.component.refresh();
    const { version, live } = bench.component.view;
    assert.deepEqual([version, live.refusal?.problem.code], ['1.0.0', 'STATE_NEWER']);
    assert.equal(await readFile(machineFile, 'utf8'), newer);
    await rm(machineFile);
    bench.offer();
    await bench.runs('1.1.0');
  });
});
