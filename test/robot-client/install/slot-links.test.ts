/** Links of people that lead through Drover's own links, while Drover changes the latter. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { layoutOf, releaseFolder, type Layout } from '../../../robot-client/install/layout.ts';
import { readSlots } from '../../../robot-client/install/read-slots.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { assertSwappable } from '../../../robot-client/update/assert-swappable.ts';
import { goBack, swapBack, swapTo } from '../../../robot-client/update/swap.ts';
import { prepareLayout } from '../../../robot-client/install/make-root.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { writeMachineState } from '../../../robot-client/update/state-file.ts';
import { pruneReleases } from '../../../robot-client/install/prune.ts';
import { cuttingDisk, PowerCut } from '../cutting-disk.ts';

const VERSIONS = ['1.0.0', '1.1.0', '1.2.0'];

/** A root with three sealed releases, and links by name; `b` is a root of another component. */
async function rootWith(t: TestContext, links: Record<string, string>): Promise<Layout> {
  const folder = await mkdtemp(join(tmpdir(), 'drover-links-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const layout = layoutOf(join(folder, 'a'), [join(folder, 'a'), join(folder, 'b')]);
  await prepareLayout(realDisk, layout);
  for (const version of VERSIONS) {
    const tree = releaseFolder(layout, version);
    await mkdir(tree);
    await writeFile(join(tree, 'VERSION'), version);
    await writeSeal(realDisk, layout, { version, tree });
  }
  await mkdir(join(folder, 'b'));
  for (const [name, text] of Object.entries(links)) await symlink(text, join(layout.root, name));
  return layout;
}

/** The version that really runs there; null when none does. */
const runs = (link: string): Promise<string | null> =>
  readFile(join(link, 'VERSION'), 'utf8').catch(() => null);

/**
 * Cuts the power before each operation of a change, and does it again after: what boots is there
 * all the time.
 */
async function cutEverywhere(
  t: TestContext,
  links: Record<string, string>,
  on: {
    change: (disk: Disk, layout: Layout) => Promise<unknown>;
    boots: readonly string[];
    last: string;
  },
): Promise<void> {
  for (let after = 0; ; after += 1) {
    const layout = await rootWith(t, links);
    const disk = cuttingDisk(after);
    const cut = await on.change(disk, layout).catch((thrown: unknown) => thrown);
    const now = await runs(layout.active);
    assert.ok(now !== null && on.boots.includes(now), `cut ${after}: active leads to ${now}`);
    if (!(cut instanceof PowerCut)) {
      assert.ok(!(cut instanceof Error), String(cut));
      assert.equal(now, on.last);
      return;
    }
    await on.change(realDisk, layout);
    assert.equal(await runs(layout.active), on.last, `cut ${after}, and done again`);
  }
}

const job = { version: '1.2.0', previous: '1.1.0' };
const BACK_BY_HAND = { active: 'rollback', rollback: 'releases/1.1.0' };

describe('active that leads through a link of Drover', () => {
  it('leads on when a rollback removes `rollback`, wherever it is cut', async (t) => {
    const change = (disk: Disk, layout: Layout) => swapBack(disk, layout, job);
    await cutEverywhere(t, BACK_BY_HAND, { change, boots: ['1.1.0'], last: '1.1.0' });
    const layout = await rootWith(t, BACK_BY_HAND);
    await swapBack(realDisk, layout, job);
    assert.equal(await readlink(layout.active), 'releases/1.1.0');
    assert.equal((await readSlots(realDisk, layout)).rollback.kind, 'absent');
  });

  it('is durably led to its release before `rollback` goes', async (t) => {
    const layout = await rootWith(t, BACK_BY_HAND);
    const done: string[] = [];
    const noting =
      <A extends string[]>(name: string, run: (...paths: A) => Promise<void>) =>
      async (...paths: A): Promise<void> => {
        await run(...paths);
        done.push(`${name} ${paths.join(' ')}`.replaceAll(layout.root, '.'));
      };
    const disk: Disk = {
      ...realDisk,
      rename: noting('rename', realDisk.rename),
      unlink: noting('unlink', realDisk.unlink),
      syncFolder: noting('sync', realDisk.syncFolder),
    };
    await swapBack(disk, layout, job);
    const kept = done.filter((one) => one !== 'unlink ./active.new');
    assert.deepEqual(kept, [
      ...['rename ./active.new ./active', 'sync .'],
      ...['unlink ./rollback', 'sync .'],
    ]);
  });

  it('leads on when a swap leads `rollback` elsewhere, wherever it is cut', async (t) => {
    const boots = ['1.1.0', '1.2.0'];
    const change = (disk: Disk, layout: Layout) =>
      swapTo(disk, layout, { version: '1.2.0', previousVersion: '1.1.0' });
    for (const links of [
      BACK_BY_HAND,
      { active: 'rollback/../1.1.0', rollback: 'releases/1.0.0' },
      { active: 'active.new', 'active.new': 'releases/1.1.0', rollback: 'releases/1.0.0' },
      { active: 'rollback.new', 'rollback.new': 'releases/1.1.0', rollback: 'releases/1.0.0' },
      { active: 'releases/1.1.0', rollback: 'active' },
    ]) {
      await cutEverywhere(t, links, { change, boots, last: '1.2.0' });
      const layout = await rootWith(t, links);
      await assertSwappable(realDisk, layout);
      assert.equal(await runs(layout.active), '1.1.0', 'a trial of the swap changes nothing');
      await change(realDisk, layout);
      assert.equal(await runs(layout.rollback), '1.1.0');
    }
  });

  it('leads on when `recover` goes back, and rollback leads through active', async (t) => {
    const links = { active: 'releases/1.2.0', rollback: 'active/../1.1.0' };
    const change = (disk: Disk, layout: Layout) => goBack(disk, layout, '1.1.0');
    await cutEverywhere(t, links, { change, boots: ['1.2.0', '1.1.0'], last: '1.1.0' });
  });

  it('keeps the release that it leaves by `..`', async (t) => {
    const layout = await rootWith(t, { active: 'releases/1.0.0/../1.1.0' });
    await pruneReleases(realDisk, layout, null);
    assert.equal(await runs(layout.active), '1.1.0');
    assert.deepEqual(await realDisk.list(layout.releases), ['1.0.0', '1.1.0']);
  });

  it('refuses a rollback to nothing while rollback leads through active', async (t) => {
    const layout = await rootWith(t, { active: 'releases/1.2.0', rollback: 'active' });
    const back = swapBack(realDisk, layout, { version: '1.2.0', previous: null });
    await assert.rejects(back, { code: 'ROLLBACK_FAILED' });
    assert.equal(await runs(layout.active), '1.2.0');
  });
});

describe('a slot of another component that leads through a link', () => {
  const withOther = async (t: TestContext, links: Record<string, string>, by: string) => {
    const layout = await rootWith(t, links);
    const other = join(layout.root, '../b/active');
    await symlink(`../a/${by}`, other);
    return { layout, other };
  };

  it('keeps `rollback` where it is, with a code', async (t) => {
    const links = { active: 'releases/1.2.0', rollback: 'releases/1.1.0' };
    const { layout, other } = await withOther(t, links, 'rollback');
    const kept = await swapBack(realDisk, layout, job);
    assert.equal(kept?.code, 'SLOT_SHARED');
    assert.equal(await runs(layout.active), '1.1.0');
    assert.equal(await runs(other), '1.1.0');
  });

  it('stops an update before anything is stopped, whichever slot it leads through', async (t) => {
    for (const by of ['active', 'rollback', 'rollback/../1.0.0']) {
      const links = { active: 'releases/1.1.0', rollback: 'releases/1.0.0' };
      const { layout, other } = await withOther(t, links, by);
      const before = await runs(other);
      await assert.rejects(assertSwappable(realDisk, layout), { code: 'SLOT_SHARED' });
      await assert.rejects(swapTo(realDisk, layout, { version: '1.2.0' }), { code: 'SLOT_SHARED' });
      assert.equal(await runs(other), before);
      assert.equal(await runs(layout.active), '1.1.0');
    }
  });

  it('goes back with active, to what is whole', async (t) => {
    const links = { active: 'releases/1.2.0', rollback: 'releases/1.1.0' };
    const { layout, other } = await withOther(t, links, 'active');
    await swapBack(realDisk, layout, job);
    assert.equal(await runs(other), '1.1.0');
  });
});

describe('a slot that leads through the other one, which is gone', () => {
  const recover = (layout: Layout) =>
    recoverComponent({
      ...{ component: 'app', root: layout.root, disk: realDisk, isBoot: false },
      ...{ hooksFolder: join(layout.root, 'no-hooks'), bootsMax: 3, adoptVersion: '0.0.0' },
    });

  it('is lost and no stranger, and `recover` leads it to what ran', async (t) => {
    for (const [links, version] of [
      [{ active: 'rollback' }, '1.1.0'],
      [{ active: 'rollback', rollback: 'releases/9.9.9' }, '1.1.0'],
      [{ rollback: 'active' }, '1.1.0'],
      [{ active: 'releases/9.9.9', rollback: 'active' }, '1.1.0'],
    ] as const) {
      const layout = await rootWith(t, links);
      await writeMachineState(realDisk, layout, { ...freshState(), lastActive: version });
      for (const slot of Object.values(await readSlots(realDisk, layout))) {
        assert.ok(slot.kind === 'lost' || slot.kind === 'absent', JSON.stringify(slot));
      }
      const found = await recover(layout);
      assert.deepEqual([found.version, found.problems], [version, []], JSON.stringify(links));
      assert.equal(await runs(layout.active), version);
    }
  });

  it('is a stranger still when what it leads to is none of the root', async (t) => {
    const layout = await rootWith(t, { active: 'nowhere' });
    const { active } = await readSlots(realDisk, layout);
    assert.ok(active.kind === 'foreign' && active.problem.code === 'SLOT_DANGLING');
  });
});

it('a swap that cannot make its link keeps the way back', async (t) => {
  const layout = await rootWith(t, { active: 'releases/1.1.0', rollback: 'releases/1.0.0' });
  for (const name of ['active.new', 'active.trial']) await mkdir(join(layout.root, name));
  await assert.rejects(swapTo(realDisk, layout, { version: '1.2.0', previousVersion: '1.1.0' }), {
    code: 'NOT_A_FILE',
  });
  const links = [await readlink(layout.active), await readlink(layout.rollback)];
  assert.deepEqual(links, ['releases/1.1.0', 'releases/1.0.0']);
});
