import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  layoutOf,
  recipeFile,
  releaseFolder,
  type Layout,
} from '../../../robot-client/install/layout.ts';
import { step } from '../../../robot-client/update/machine.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { freshState, type MachineState } from '../../../robot-client/update/state.ts';
import { adoptActiveFolder } from '../../../robot-client/recover/adopt.ts';
import { diskError } from '../../../robot-client/install/disk-error.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { readMachineState, writeMachineState } from '../../../robot-client/update/state-file.ts';
import { admitRelease, swapBack, swapTo } from '../../../robot-client/update/swap.ts';
import { prepareLayout } from '../../../robot-client/install/make-root.ts';
import { pruneReleases } from '../../../robot-client/install/prune.ts';
import { readSlots } from '../../../robot-client/install/read-slots.ts';
import { versionOf } from '../../../robot-client/install/slots.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { cuttingDisk, PowerCut } from '../cutting-disk.ts';
import { faultyDisk } from '../faulty-disk.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

async function freshRoot(): Promise<Layout> {
  const root = await mkdtemp(join(tmpdir(), 'drover-swap-'));
  folders.push(root);
  return layoutOf(root);
}

async function putTree(path: string, version: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'VERSION'), version);
}

/** A release with the recipe by which it is known as Drover's. */
async function putRelease(layout: Layout, version: string): Promise<void> {
  await putTree(releaseFolder(layout, version), version);
  await writeFile(recipeFile(layout, version), '');
}

/** A root that runs 1.0.0, with 1.1.0 staged as a tree. */
async function installed(): Promise<Layout> {
  const layout = await freshRoot();
  await prepareLayout(realDisk, layout);
  await putTree(releaseFolder(layout, '1.0.0'), '1.0.0');
  await swapTo(realDisk, layout, { version: '1.0.0' });
  await putTree(`${layout.staging}/tree`, '1.1.0');
  return layout;
}

/** The version whose files the robot would really run. */
async function boots(layout: Layout): Promise<string> {
  return await readFile(join(layout.active, 'VERSION'), 'utf8');
}

async function versionsIn(layout: Layout): Promise<Record<'active' | 'rollback', string | null>> {
  const { active, rollback } = await readSlots(realDisk, layout);
  return { active: versionOf(active), rollback: versionOf(rollback) };
}

function stateIn(phase: MachineState['phase'], boots = 0): MachineState {
  const world = makeWorld();
  const offer = announce(world, [makeRollout(world, { version: '1.1.0' })]);
  const { verdict } = decideOffer(offer, factsOf(world));
  assert.ok(verdict.kind === 'take');
  const job = { ...verdict.job, previousVersion: '1.0.0', boots };
  return { ...freshState(), phase, job };
}

const recoverOn = (disk: Disk, layout: Layout) =>
  recoverComponent({
    component: 'app',
    root: layout.root,
    disk,
    hooksFolder: `${layout.root}/no-hooks`,
    bootsMax: 3,
    adoptVersion: '0.0.0',
  });

/** Runs `work` with a power cut before each of its operations in turn; `check` sees what is left. */
async function cutEverywhere(
  prepare: () => Promise<Layout>,
  work: (disk: Disk, layout: Layout) => Promise<unknown>,
  check: (layout: Layout, cutAt: number) => Promise<void>,
): Promise<number> {
  for (let cutAt = 0; ; cutAt += 1) {
    const layout = await prepare();
    const disk = cuttingDisk(cutAt);
    let isCut = false;
    try {
      await work(disk, layout);
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      isCut = true;
    }
    await check(layout, cutAt);
    if (!isCut) return cutAt;
  }
}

describe('swap', () => {
  it('leads active to the new release and rollback to the old one, with relative links', async () => {
    const layout = await installed();
    await admitRelease(realDisk, layout, { tree: `${layout.staging}/tree`, version: '1.1.0' });
    await swapTo(realDisk, layout, { version: '1.1.0' });
    assert.equal(await boots(layout), '1.1.0');
    assert.deepEqual(await versionsIn(layout), { active: '1.1.0', rollback: '1.0.0' });
    assert.equal(await readlink(layout.active), 'releases/1.1.0');
  });

  it('goes back to exactly what ran before, and to nothing before a first install', async () => {
    const layout = await installed();
    await admitRelease(realDisk, layout, { tree: `${layout.staging}/tree`, version: '1.1.0' });
    await swapTo(realDisk, layout, { version: '1.1.0' });
    await swapBack(realDisk, layout, { version: '1.1.0', previous: '1.0.0' });
    assert.deepEqual(await versionsIn(layout), { active: '1.0.0', rollback: null });
    await swapBack(realDisk, layout, { version: '1.0.0', previous: null });
    assert.deepEqual(await versionsIn(layout), { active: null, rollback: null });
  });

  it('refuses a release that is not there and leaves active alone', async () => {
    const layout = await installed();
    await assert.rejects(swapTo(realDisk, layout, { version: '9.9.9' }), { code: 'SWAP_FAILED' });
    await assert.rejects(swapBack(realDisk, layout, { version: '1.0.0', previous: '9.9.9' }), {
      code: 'ROLLBACK_FAILED',
    });
    assert.equal(await boots(layout), '1.0.0');
  });

  it('never replaces the release that runs', async () => {
    const layout = await installed();
    const staged = { tree: `${layout.staging}/tree`, version: '1.0.0' };
    await assert.rejects(admitRelease(realDisk, layout, staged), { code: 'RELEASE_IN_THE_WAY' });
    assert.equal(await boots(layout), '1.0.0');
  });

  it('keeps only the two releases that links lead to, and the staging that it should keep', async () => {
    const layout = await installed();
    for (const version of ['0.8.0', '0.9.0']) await putRelease(layout, version);
    const [kept, old] = ['a'.repeat(32), 'b'.repeat(32)];
    for (const name of [kept, old]) await putTree(`${layout.staging}/${name}`, '');
    await pruneReleases(realDisk, layout, `${layout.staging}/${kept}`);
    assert.deepEqual(await realDisk.list(layout.releases), ['1.0.0']);
    assert.deepEqual(await realDisk.list(layout.bases), []);
    assert.deepEqual(await realDisk.list(layout.staging), [kept, 'tree']);
  });

  it('removes the others and keeps the records of one release that cannot go', async () => {
    const layout = await installed();
    for (const version of ['0.7.0', '0.8.0', '0.9.0']) await putRelease(layout, version);
    const busy = Object.assign(new Error('EBUSY: resource busy'), { code: 'EBUSY' });
    const disk = faultyDisk(({ name, path }) => {
      if (name === 'removeTree' && path.endsWith('/0.8.0')) throw diskError('remove', path, busy);
    });
    const left = await pruneReleases(disk, layout, null);
    assert.deepEqual(await realDisk.list(layout.releases), ['0.8.0', '1.0.0']);
    assert.deepEqual(await realDisk.list(layout.bases), ['0.8.0']);
    assert.deepEqual(
      left.map(({ name }) => name),
      ['0.8.0'],
    );
    assert.match(left[0]?.why ?? '', /it cannot be removed: .*EBUSY/);
    await pruneReleases(realDisk, layout, null);
    assert.deepEqual(await realDisk.list(layout.releases), ['1.0.0']);
  });

  it('always boots a complete old or new version, wherever the power is cut', async () => {
    const operations = await cutEverywhere(
      installed,
      async (disk, layout) => {
        await admitRelease(disk, layout, { tree: `${layout.staging}/tree`, version: '1.1.0' });
        await swapTo(disk, layout, { version: '1.1.0' });
        await swapBack(disk, layout, { version: '1.1.0', previous: '1.0.0' });
        await pruneReleases(disk, layout, null);
      },
      async (layout) => {
        assert.ok(['1.0.0', '1.1.0'].includes(await boots(layout)));
      },
    );
    assert.ok(operations >= 12, `only ${operations} operations were cut`);
  });
});

describe('recover', () => {
  it('finishes a swap that was cut anywhere, and can itself be cut anywhere', async () => {
    const prepare = async (): Promise<Layout> => {
      const layout = await installed();
      await admitRelease(realDisk, layout, { tree: `${layout.staging}/tree`, version: '1.1.0' });
      await writeMachineState(realDisk, layout, stateIn('swapping'));
      return layout;
    };
    await cutEverywhere(prepare, recoverOn, async (layout) => {
      assert.ok(['1.0.0', '1.1.0'].includes(await boots(layout)));
      const recovery = await recoverOn(realDisk, layout);
      assert.equal(recovery.phase, 'probation');
      assert.equal(await boots(layout), '1.1.0');
    });
  });

  it('finishes a rollback that was cut anywhere and blocks the version', async () => {
    const prepare = async (): Promise<Layout> => {
      const layout = await installed();
      await admitRelease(realDisk, layout, { tree: `${layout.staging}/tree`, version: '1.1.0' });
      await swapTo(realDisk, layout, { version: '1.1.0' });
      const cause = { code: 'HEALTH_FAILED', message: 'sick', hint: 'fix' };
      const state = stateIn('rolling_back');
      assert.ok(state.job);
      await writeMachineState(realDisk, layout, { ...state, job: { ...state.job, cause } });
      return layout;
    };
    await cutEverywhere(prepare, recoverOn, async (layout) => {
      await recoverOn(realDisk, layout);
      assert.equal(await boots(layout), '1.0.0');
      const state = await readMachineState(realDisk, layout, NOW);
      assert.equal(state.phase, 'idle');
      assert.deepEqual(
        state.blocked.map((one) => one.code),
        ['HEALTH_FAILED'],
      );
    });
  });

  it('rolls back without any network after the limit of unconfirmed boots', async () => {
    const layout = await installed();
    await admitRelease(realDisk, layout, { tree: `${layout.staging}/tree`, version: '1.1.0' });
    await swapTo(realDisk, layout, { version: '1.1.0' });
    await writeMachineState(realDisk, layout, stateIn('probation'));
    for (const boot of [1, 2, 3]) {
      const recovery = await recoverOn(realDisk, layout);
      assert.equal(recovery.version, '1.1.0', `boot ${boot}`);
    }
    const last = await recoverOn(realDisk, layout);
    assert.equal(last.version, '1.0.0');
    assert.match(last.actions.join(), /rolled back from 1\.1\.0 to 1\.0\.0/);
  });

  it('goes on from the links when the state file is damaged, and keeps the damaged one', async () => {
    const layout = await installed();
    await writeFile(layout.machineFile, '{"schema":1,"phase":"prob');
    const recovery = await recoverOn(realDisk, layout);
    assert.equal(recovery.version, '1.0.0');
    assert.equal(recovery.phase, 'idle');
    assert.equal(
      await readFile(`${layout.machineFile}.corrupt`, 'utf8'),
      '{"schema":1,"phase":"prob',
    );
    const state = await readMachineState(realDisk, layout, NOW);
    assert.equal(state.lastProblem?.code, 'STATE_CORRUPT');
  });

  it('changes nothing when there is nothing to do', async () => {
    const layout = await installed();
    await recoverOn(realDisk, layout);
    const recovery = await recoverOn(realDisk, layout);
    const nothing = { bootsForeign: false, actions: [], problems: [] };
    assert.deepEqual(recovery, { component: 'app', version: '1.0.0', phase: 'idle', ...nothing });
  });
});

describe('adopting a plain active folder', () => {
  it('keeps its content and can be cut anywhere', async () => {
    const prepare = async (): Promise<Layout> => {
      const layout = await freshRoot();
      await prepareLayout(realDisk, layout);
      await putTree(layout.active, 'before drover');
      return layout;
    };
    const work = (disk: Disk, layout: Layout) => adoptActiveFolder(disk, layout, '0.7.0');
    await cutEverywhere(prepare, work, async (layout) => {
      await recoverOn(realDisk, layout);
      assert.equal(await boots(layout), 'before drover');
      const { active } = await versionsIn(layout);
      assert.ok(active === '0.7.0' || active === '0.0.0');
      assert.equal(await realDisk.kind(layout.adoptFile), 'absent');
    });
  });
});

describe('the state file', () => {
  it('holds the old or the new state, wherever the write is cut', async () => {
    const next = step(stateIn('swapping'), { kind: 'swapped' }, NOW).state;
    const prepare = async (): Promise<Layout> => {
      const layout = await installed();
      await writeMachineState(realDisk, layout, stateIn('swapping'));
      return layout;
    };
    const work = (disk: Disk, layout: Layout) => writeMachineState(disk, layout, next);
    await cutEverywhere(prepare, work, async (layout) => {
      const { phase } = await readMachineState(realDisk, layout, NOW);
      assert.ok(phase === 'swapping' || phase === 'probation');
    });
  });
});
