/** A choice of a technician (`recover --release`) that was cut short, or that cannot be followed yet. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, releaseFolder, type Layout } from '../../../robot-client/install/layout.ts';
import { pruneReleases } from '../../../robot-client/install/prune.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { relinked } from '../../../robot-client/update/lost-state.ts';
import {
  encodeMachineState,
  freshState,
  parseMachineState,
  type MachineState,
} from '../../../robot-client/update/state.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { cuttingDisk, PowerCut } from '../cutting-disk.ts';
import { jobTo } from '../install/root-worlds.ts';
import { makeSealedRelease } from '../install/sealed-release.ts';

const [OLD, NEW] = ['1.0.0', '1.1.0'];

/** Sealed releases without a link to one, and a state that says what ran. */
async function linkless(
  t: TestContext,
  versions: readonly string[],
  state: MachineState | null = { ...freshState(), lastActive: versions.at(-1) ?? null },
) {
  const root = join(await tempFolder(t), 'app');
  const layout = layoutOf(root);
  await mkdir(layout.state, { recursive: true });
  for (const version of versions) await makeSealedRelease(layout, version);
  if (state) await writeFile(layout.machineFile, encodeMachineState(state));
  return layout;
}

const recover = (
  layout: Layout,
  {
    release,
    isBoot = true,
    disk = realDisk,
  }: { release?: string | undefined; isBoot?: boolean; disk?: Disk },
) =>
  recoverComponent({
    ...{ component: 'app', root: layout.root, disk, hooksFolder: join(layout.root, 'none') },
    ...{ bootsMax: 3, adoptVersion: '0.0.0', isBoot, release },
  });

const stateOf = async (layout: Layout): Promise<MachineState> =>
  parseMachineState(await readFile(layout.machineFile));

/** The number of changes of a whole recovery. */
async function changesOf(t: TestContext, versions: readonly string[], release: string) {
  const disk = cuttingDisk(Infinity);
  await recover(await linkless(t, versions), { release, isBoot: false, disk });
  return disk.operations();
}

describe('recover --release that is killed at each of its operations', () => {
  for (const [versions, chosen] of [
    [[OLD], OLD],
    [[OLD, NEW], OLD],
    [[OLD, NEW], NEW],
  ] as const) {
    it(`leaves a robot that boots again at the next recover, with ${versions.join(' and ')} and ${chosen} chosen`, async (t) => {
      const changes = await changesOf(t, versions, chosen);
      assert.ok(changes > 8, `${changes} changes`);
      for (let at = 0; at < changes; at += 1) {
        const layout = await linkless(t, versions);
        const cut = recover(layout, { release: chosen, isBoot: false, disk: cuttingDisk(at) });
        await assert.rejects(cut, PowerCut);
        const written = await stateOf(layout);
        const { version, problems } = await recover(layout, {});
        assert.notEqual(version, null, `cut before change ${at}`);
        assert.deepEqual(problems, [], `cut before change ${at}`);
        if (written.phase !== 'probation') continue;
        assert.equal(version, chosen, `cut before change ${at}: it was chosen already`);
        const { phase, job } = await stateOf(layout);
        assert.deepEqual([phase, job?.version, job?.boots], ['probation', chosen, 1]);
      }
    });
  }
});

describe('the way back of a release that a technician chose', () => {
  const slotOf = (path: string) => readlink(path).catch(() => null);

  it('is a newer one that is whole and was confirmed here: a failure leads to it and blocks the chosen one', async (t) => {
    const known = { ...freshState(), lastActive: NEW, highest: NEW };
    const layout = await linkless(t, [OLD, NEW], known);
    const { actions } = await recover(layout, { release: OLD, isBoot: false });
    assert.match(actions.join('\n'), /leads to 1\.0\.0 now, on probation: 1\.1\.0 to go back to/);
    const { job } = await stateOf(layout);
    assert.deepEqual([job?.version, job?.previousVersion], [OLD, NEW]);
    assert.equal(await slotOf(layout.rollback), `releases/${NEW}`);
    await pruneReleases(realDisk, layout, null);
    for (let boot = 1; boot <= 3; boot += 1) await recover(layout, {});
    const { version, actions: said } = await recover(layout, {});
    assert.equal(version, NEW, said.join('\n'));
    const { phase, blocked, lastActive } = await stateOf(layout);
    assert.deepEqual([phase, lastActive], ['idle', NEW]);
    assert.deepEqual(
      blocked.map((one) => [one.version, one.code]),
      [[OLD, 'BOOT_LIMIT_REACHED']],
    );
    await pruneReleases(realDisk, layout, null);
    assert.equal(await slotOf(layout.active), `releases/${NEW}`);
    assert.equal((await recover(layout, {})).version, NEW);
  });

  it('is the newest that was confirmed, also where rollback led to an older one', async (t) => {
    const known = { ...freshState(), lastActive: '1.2.0', highest: '1.2.0' };
    const layout = await linkless(t, [OLD, NEW, '1.2.0'], known);
    await symlink(`releases/${OLD}`, layout.rollback);
    await recover(layout, { release: NEW, isBoot: false });
    assert.equal((await stateOf(layout)).job?.previousVersion, '1.2.0');
    assert.equal(await slotOf(layout.rollback), 'releases/1.2.0');
  });

  it('is none that failed here, was only staged, or lost files', async (t) => {
    const failed = { version: NEW, payloadSha256: jobTo().payloadSha256, code: 'HEALTH_FAILED' };
    const whole = { ...freshState(), lastActive: NEW, highest: NEW };
    const staged = { ...jobTo(), version: NEW, previousVersion: OLD };
    const cases: readonly [MachineState, boolean][] = [
      [{ ...whole, blocked: [failed] }, false],
      [{ ...freshState(), lastActive: OLD, highest: OLD }, false],
      [{ ...whole, highest: '1.2.0', lastActive: OLD, phase: 'waiting', job: staged }, false],
      [whole, true],
    ];
    for (const [known, isLost] of cases) {
      const layout = await linkless(t, [OLD, NEW], known);
      if (isLost) await rm(join(releaseFolder(layout, NEW), 'bin/run'));
      await recover(layout, { release: OLD, isBoot: false });
      assert.equal((await stateOf(layout)).job?.previousVersion, null);
      assert.equal(await slotOf(layout.rollback), null);
    }
  });

  it('is not told as itself when there is none: the release stays', async (t) => {
    const layout = await linkless(t, [OLD]);
    await recover(layout, { release: OLD, isBoot: false });
    const said: string[] = [];
    for (let boot = 1; boot <= 4; boot += 1) said.push(...(await recover(layout, {})).actions);
    assert.match(said.join('\n'), /1\.0\.0 failed and stays: there is no whole release/);
    assert.doesNotMatch(said.join('\n'), /rolled back from 1\.0\.0 to 1\.0\.0/);
  });
});

describe('a version on probation whose link is gone', () => {
  it('is linked again when there is nothing whole to go back to, and told', async (t) => {
    const job = { ...jobTo(), previousVersion: null };
    const layout = await linkless(t, [NEW], { ...freshState(), phase: 'probation', job });
    const { version, actions, problems } = await recover(layout, {});
    assert.deepEqual([version, problems], [NEW, []]);
    assert.match(
      actions.join('\n'),
      /leads to 1\.1\.0 again, which is on probation \(RELEASE_LOST\)/,
    );
    assert.equal((await stateOf(layout)).job?.boots, 1);
  });

  it('is left for a whole release before it, as ever', async (t) => {
    const job = { ...jobTo(), previousVersion: OLD };
    const layout = await linkless(t, [OLD, NEW], { ...freshState(), phase: 'probation', job });
    assert.equal((await recover(layout, {})).version, OLD);
  });

  it('is left for an older whole release when it was linked by hand and is gone since', async (t) => {
    const chosen = { version: NEW, previous: null, left: null };
    const layout = await linkless(t, [OLD, NEW], relinked(freshState(), chosen, 1));
    for (const slot of [layout.active, layout.rollback]) await symlink(`releases/${NEW}`, slot);
    await rm(releaseFolder(layout, NEW), { recursive: true });
    const { version, problems } = await recover(layout, { isBoot: false });
    assert.deepEqual([version, problems], [OLD, []]);
  });

  it('counts no boot while nothing boots: the application was never started', async (t) => {
    const job = { ...jobTo(), previousVersion: null };
    const layout = await linkless(t, [NEW], { ...freshState(), phase: 'probation', job });
    await rm(join(releaseFolder(layout, NEW), 'bin/run'));
    for (const isBoot of [true, true, true, true, false]) {
      const { version, actions, problems } = await recover(layout, { isBoot });
      assert.equal(version, null);
      assert.ok(problems.some(({ code }) => code === 'RELEASE_LOST'));
      assert.match(actions.join('\n'), /no boot was counted/);
    }
    const { phase, job: after } = await stateOf(layout);
    assert.deepEqual([phase, after?.boots], ['probation', 0]);
    await writeFile(join(releaseFolder(layout, NEW), 'bin/run'), `echo ${NEW}\n`, { mode: 0o755 });
    assert.equal((await recover(layout, {})).version, NEW);
    assert.equal(await readlink(layout.active), `releases/${NEW}`);
  });
});

/** A person's folder, or more of them, where Drover makes its links. */
async function occupy(layout: Layout, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await mkdir(join(layout.root, name));
    await writeFile(join(layout.root, name, 'notes'), 'of a person');
  }
}

describe('a file or folder at active.new that is no link', () => {
  for (const release of [undefined, OLD]) {
    it(`keeps no release from being linked${release ? ' that was chosen' : ''}, and is to be moved away`, async (t) => {
      const layout = await linkless(t, [OLD]);
      await occupy(layout, 'active.new');
      const { version, actions, problems } = await recover(layout, { release, isBoot: false });
      assert.deepEqual([version, problems], [OLD, []]);
      assert.match(actions.join('\n'), /move \S+\/active\.new away: a link is made there/);
      assert.equal(await readFile(join(layout.root, 'active.new/notes'), 'utf8'), 'of a person');
    });
  }

  it('is something else where it is neither file nor folder', async (t) => {
    const layout = await linkless(t, [OLD]);
    const server = createServer().listen(join(layout.root, 'active.new'));
    await once(server, 'listening');
    const { version, actions } = await recover(layout, { isBoot: false });
    server.close();
    assert.equal(version, OLD);
    assert.match(actions.join('\n'), /active\.new: something else stands there \(NOT_A_FILE\)/);
  });

  it('is named when no other place is free, and nothing is remembered or counted', async (t) => {
    const layout = await linkless(t, [OLD]);
    await occupy(layout, 'active.new', 'active.trial');
    const before = await readFile(layout.machineFile);
    const chosen = recover(layout, { release: OLD, isBoot: false });
    await assert.rejects(chosen, { code: 'NOT_A_FILE', hint: /move \S+\/active\.new away/ });
    assert.deepEqual(await readFile(layout.machineFile), before);
    const { actions, problems } = await recover(layout, { isBoot: false });
    assert.match(actions.join('\n'), /NOT_A_FILE.*move \S+active\.new away/);
    assert.doesNotMatch(actions.join('\n'), /DISK_|no release that is whole|dmesg|boot 1/);
    assert.match(problems.at(-1)?.hint ?? '', /mend first what the lines above name/);
    await rm(join(layout.root, 'active.new'), { recursive: true });
    assert.equal((await recover(layout, { isBoot: false })).version, OLD);
  });
});
