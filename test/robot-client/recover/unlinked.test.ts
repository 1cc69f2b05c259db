/**
 * Both links and the state are gone while releases stand there: `recover` reports it and links
 * again.
 */

import assert from 'node:assert/strict';
import {
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { beginStint, encodeUsage, freshUsage } from '../../../robot-client/fleet/usage.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, releaseFolder, sealFile } from '../../../robot-client/install/layout.ts';
import { pruneReleases } from '../../../robot-client/install/prune.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { chooseUnlinked, slotsWith } from '../../../robot-client/update/unlinked.ts';
import { NO_SLOTS, slotProblem } from '../../../robot-client/install/slots.ts';
import { stateAfterLoss } from '../../../robot-client/update/lost-state.ts';
import { encodeMachineState, freshState } from '../../../robot-client/update/state.ts';
import { peekMachineState, readMachineState } from '../../../robot-client/update/state-file.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { tarGz } from '../../helpers/fleet.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';
import { NOW } from '../world.ts';
import { jobTo } from '../install/root-worlds.ts';
import { makeSealedRelease } from '../install/sealed-release.ts';

/** Sealed releases, and nothing that leads to one of them. */
async function rootOf(t: TestContext, ...versions: string[]) {
  const root = join(await tempFolder(t), 'app');
  const layout = layoutOf(root);
  await mkdir(layout.state, { recursive: true });
  for (const version of versions) await makeSealedRelease(layout, version);
  const recover = (release?: string) =>
    recoverComponent({
      ...{ component: 'app', root, disk: realDisk, hooksFolder: join(root, 'no-hooks') },
      ...{ bootsMax: 3, adoptVersion: '0.0.0', release },
    });
  const led = (slot: 'active' | 'rollback') => readlink(layout[slot]).catch(() => null);
  const lose = (version: string) => truncate(join(releaseFolder(layout, version), 'bin/run'), 1);
  const state = () => readMachineState(realDisk, layout, NOW);
  return { root, layout, recover, led, lose, state };
}

const codes = ({ problems }: { problems: readonly { code: string }[] }): string[] =>
  problems.map(({ code }) => code);

describe('releases without links and without a state', () => {
  it('are reported, changed by nothing, and stay known after the next start', async (t) => {
    const { layout, state } = await rootOf(t, '1.0.0', '1.1.0');
    const { state: peeked } = await peekMachineState(realDisk, layout, NOW);
    const first = await state();
    assert.deepEqual([peeked.unlinked, first.unlinked], [first.unlinked, ['1.0.0', '1.1.0']]);
    await writeFile(layout.machineFile, encodeMachineState(first));
    const problem = slotProblem(slotsWith(NO_SLOTS, await state()));
    assert.equal(problem?.code, 'RELEASE_LOST');
    assert.match(problem.message, /1\.0\.0, 1\.1\.0/);
    await pruneReleases(realDisk, layout, null);
    assert.deepEqual(await readdir(layout.releases), ['1.0.0', '1.1.0']);
  });

  it('are linked by recover when one alone is whole, which is on probation without a way back', async (t) => {
    const { recover, led, lose, state } = await rootOf(t, '1.0.0', '1.1.0');
    await lose('1.1.0');
    const { version, phase, problems, actions } = await recover();
    assert.deepEqual([version, phase, problems], ['1.0.0', 'probation', []]);
    assert.match(actions.join('\n'), /RELEASE_LOST/);
    assert.deepEqual([await led('active'), await led('rollback')], ['releases/1.0.0', null]);
    assert.equal((await state()).job?.previousVersion, null);
    for (let boot = 2; boot <= 6; boot += 1) assert.equal((await recover()).version, '1.0.0');
    const after = await state();
    assert.deepEqual(
      [after.phase, after.blocked],
      ['idle', []],
      'it stays: nothing else would boot',
    );
    assert.equal(after.lastProblem?.code, 'BOOT_LIMIT_REACHED');
  });

  it('leave an active that is not known to be damaged, however it is made, to --release', async (t) => {
    const { root, layout, recover, led, lose } = await rootOf(t, '1.0.0', '1.1.0');
    const tree = releaseFolder(layout, '1.1.0');
    await symlink('releases/1.1.0', layout.active);
    const refused = { code: 'USAGE', message: /active leads to 1\.1\.0/ };
    await rename(tree, join(root, '../big-disk'));
    await symlink(join(root, '../big-disk'), tree);
    await assert.rejects(recover('1.0.0'), refused, 'a link to another disk');
    await rm(sealFile(layout, '1.1.0'));
    await assert.rejects(recover('1.0.0'), refused, 'without a seal');
    await rm(tree);
    await rename(join(root, '../big-disk'), tree);
    await assert.rejects(recover('1.0.0'), refused, "a person's copy");
    assert.equal(await led('active'), 'releases/1.1.0');
    await writeSeal(realDisk, layout, { version: '1.1.0', tree });
    await lose('1.1.0');
    assert.equal((await recover('1.0.0')).version, '1.0.0', 'what is damaged is left');
  });

  it('are asked for when several are whole, and --release chooses', async (t) => {
    const { recover, led, layout } = await rootOf(t, '1.0.0', '1.1.0', '1.2.0');
    for (let run = 1; run <= 2; run += 1) {
      const asked = await recover();
      assert.deepEqual([asked.version, codes(asked)[0]], [null, 'RELEASE_LOST']);
      assert.match(asked.problems[0]?.message ?? '', /1\.2\.0, 1\.1\.0, 1\.0\.0/);
      assert.match(
        asked.problems[0]?.hint ?? '',
        /recover --root DIR --release 1\.2\.0 --no-boot;/,
      );
    }
    await assert.rejects(recover('1.3.0'), { code: 'USAGE' });
    const { version, phase } = await recover('1.1.0');
    assert.deepEqual([version, phase], ['1.1.0', 'probation']);
    assert.deepEqual(
      [await led('active'), await led('rollback')],
      ['releases/1.1.0', 'releases/1.0.0'],
    );
    const before = await readFile(layout.machineFile, 'utf8');
    await assert.rejects(recover('1.2.0'), { code: 'USAGE' }, 'what runs is whole');
    assert.equal(await readFile(layout.machineFile, 'utf8'), before, 'no boot is counted');
    assert.equal(await led('active'), 'releases/1.1.0');
    assert.ok((await readdir(layout.releases)).includes('1.2.0'));
  });

  it('are linked as the usage file of the robot says', async (t) => {
    const { recover, led, layout } = await rootOf(t, '1.0.0', '1.1.0', '1.2.0');
    const ran = { version: '1.1.0', rollout: null };
    const usage = beginStint(freshUsage('e'), 'app', ran);
    const later = beginStint(usage, 'app', { version: null, rollout: null });
    await writeFile(join(layout.state, 'usage.json'), encodeUsage(later));
    assert.equal((await recover()).version, '1.1.0');
    assert.deepEqual(
      [await led('active'), await led('rollback')],
      ['releases/1.1.0', 'releases/1.0.0'],
    );
  });

  it('are not linked when the one that is chosen, or each, lost bytes', async (t) => {
    const { recover, led, lose } = await rootOf(t, '1.0.0', '1.1.0');
    await lose('1.1.0');
    await assert.rejects(recover('1.1.0'), { code: 'RELEASE_DAMAGED' });
    assert.equal(await led('active'), null);
    await lose('1.0.0');
    const { version, problems } = await recover();
    assert.deepEqual([version, codes({ problems })], [null, ['RELEASE_LOST']]);
  });

  it('are finished when the power goes after the state and before the link', async (t) => {
    const { recover, layout, led } = await rootOf(t, '1.0.0', '1.1.0');
    await recover('1.0.0');
    await rm(layout.active);
    assert.equal((await recover()).version, '1.0.0');
    assert.equal(await led('active'), 'releases/1.0.0');
  });

  it('of a first install that was only staged are no loss', async (t) => {
    const { layout, recover, led } = await rootOf(t, '1.1.0');
    const job = { ...jobTo(), previousVersion: null };
    const waiting = encodeMachineState({ ...freshState(), phase: 'waiting', job });
    await writeFile(layout.machineFile, waiting);
    assert.deepEqual(codes(await recover()), []);
    assert.equal(await led('active'), null);
  });

  it('that Drover did not make are no loss', async (t) => {
    const { root, recover } = await rootOf(t);
    await mkdir(join(root, 'releases/1.0.0'), { recursive: true });
    assert.deepEqual(codes(await recover()), []);
  });
});

describe('an agent that finds no links and no state', () => {
  it('tells it, takes an update, and removes no release before that is confirmed', async (t) => {
    const folder = join(await tempFolder(t), 'root');
    const bench = await Bench.open(t, {}, folder);
    const bundle = async (version: string) =>
      fleet.makeBundle({ version, payload: await tarGz({ VERSION: version }) });
    for (const version of ['1.1.0', '1.2.0']) {
      bench.announce(await bundle(version), version);
      await bench.runs(version);
    }
    await bench.component.close();
    const layout = layoutOf(folder);
    for (const path of [layout.active, layout.rollback, layout.machineFile]) await rm(path);
    await bench.hook('health', 'ls "$DROVER_ROOT/releases" > "$DROVER_ROOT/during"; exit 70');
    await bench.cutPower();
    assert.equal(slotProblem(bench.component.view.slots)?.code, 'RELEASE_LOST', bench.describe());
    bench.announce(await bundle('1.3.0'), '1.3.0', { health_timeout_s: 1 });
    await waitUntil('the bad version', () => bench.codes.includes('HEALTH_FAILED'));
    await waitUntil('rest', () => bench.component.view.state.phase === 'idle');
    assert.equal(slotProblem(bench.component.view.slots)?.code, 'RELEASE_LOST', 'it is told still');
    const there = await readdir(layout.releases);
    assert.ok(there.includes('1.1.0') && there.includes('1.2.0'), there.join());
    await bench.heal();
    bench.announce(await bundle('1.4.0'), '1.4.0');
    await bench.runs('1.4.0');
    assert.deepEqual(bench.component.view.state.unlinked, []);
  });
});

describe('the way back of a robot that was linked again', () => {
  it('is linked as well, so that no clean-up removes the newest whole releases', async (t) => {
    const versions = fc.uniqueArray(fc.constantFrom('1.0.0', '1.1.0', '1.2.0'), { minLength: 1 });
    const one = fc.record({ versions, installed: fc.nat(2), isJob: fc.boolean(), lost: fc.nat(3) });
    await fc.assert(
      fc.asyncProperty(one, async (given) => {
        const all = given.versions;
        const { layout, recover, led, lose } = await rootOf(t, ...all);
        const version = all[given.installed % all.length] ?? '';
        const previous = all.find((other) => other !== version && other < version) ?? null;
        const installed = given.isJob ? { ...jobTo(), version, previousVersion: previous } : null;
        const known = { ...freshState(), installed, lastActive: version };
        await writeFile(layout.machineFile, encodeMachineState(known));
        const lost = all[given.lost];
        if (lost !== undefined) await lose(lost);
        await recover();
        const [runs, back] = [await led('active'), await led('rollback')];
        await pruneReleases(realDisk, layout, null);
        const there = await readdir(layout.releases);
        for (const slot of [runs, back]) {
          if (slot !== null) assert.ok(there.includes(slot.slice('releases/'.length)));
        }
        if (lost !== version) assert.equal(runs, `releases/${version}`);
        const older = all.filter((other) => other < version && other !== lost);
        if (lost !== version && older.length > 0) assert.ok(back !== null, 'a way back');
        await rm(layout.root, { recursive: true });
      }),
      { numRuns: 25 },
    );
  });
});

describe('the release that is linked again', () => {
  const some = fc.subarray(['1.0.0', '1.1.0', '1.2.0']);

  it('is whole, is the one that is named if any, and else is the only one', () => {
    fc.assert(
      fc.property(some, some, (whole, named) => {
        const chosen = chooseUnlinked({ whole, named });
        if (chosen !== null) assert.ok(whole.includes(chosen));
        const known = named.find((version) => whole.includes(version));
        assert.equal(chosen, known ?? (whole.length === 1 ? whole[0] : null));
      }),
    );
  });

  it('is asked for only where no slot leads anywhere', () => {
    const state = stateAfterLoss(NO_SLOTS, null, NOW, ['1.0.0']);
    assert.deepEqual([state.phase, state.unlinked], ['idle', ['1.0.0']]);
    assert.deepEqual(stateAfterLoss(NO_SLOTS, null, NOW, []), freshState());
  });
});
