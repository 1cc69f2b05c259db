/**
 * A rollout that is paused after any operation that gives a staged release its records and its
 * name: each folder in releases/ has a record that says that Drover made it.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { visibleImage } from './crash-states.ts';
import { file, folder, imageAt, link, type FolderImage } from './disk-image.ts';
import { ModelDisk } from './model-disk.ts';
import { Release, Robot, ROOT, treeOf } from './robot.ts';
import { encodeMachineState, freshState } from '../../robot-client/update/state.ts';

const [OLD, NEW] = ['1.0.0', '1.1.0'];
/** More operations than a staging has: a bound for the walk. */
const OPERATIONS_MAX = 400;
/** From the seal of a release to its name; before that nothing of it is in its place. */
const RECORDS = /\/(?:seals|bases)(?:\/|$)/;
/** The disk takes so long for the name of a release: a clean-up beside it would be over by then. */
const NAMING_MS = 60;
const HOOKS = '/no-hooks';

const START = folder({
  robot: folder({
    app: folder({
      releases: folder({ [OLD]: treeOf(OLD) }),
      active: link(`releases/${OLD}`),
      state: folder({ 'machine.json': file(encodeMachineState(freshState()), 0o600) }),
      ...{ bases: folder({}), staging: folder({}) },
    }),
  }),
});

const namesIn = (image: FolderImage, name: string): readonly string[] => {
  const found = imageAt(image, `${ROOT}/${name}`);
  return found?.kind === 'folder' ? [...found.entries.keys()] : [];
};

/** Releases that no record claims, without the one that was there before. */
function unclaimed(image: FolderImage): string[] {
  const records = [...namesIn(image, 'seals'), ...namesIn(image, 'bases')];
  return namesIn(image, 'releases').filter((name) => name !== OLD && !records.includes(name));
}

class SlowDisk extends ModelDisk {
  override async rename(from: string, to: string): Promise<void> {
    if (from.endsWith('/tree')) await sleep(NAMING_MS);
    await super.rename(from, to);
  }
}

/** @returns false when the staging ended before that operation */
async function pausedAfter(nth: number, disk: ModelDisk, release: Release): Promise<boolean> {
  const robot = new Robot({ disk, release, hooksFolder: HOOKS });
  let left = nth;
  let isPaused = false;
  let atRest: () => void = () => {};
  const rest = new Promise<void>((resolve) => (atRest = resolve));
  disk.hooks = {
    onOperation: (_, path) => {
      if (isPaused || robot.component.view.state.phase !== 'staging') return;
      if (!RECORDS.test(path)) return;
      left -= 1;
      if (left >= 0) return;
      isPaused = true;
      robot.pause(NEW).then(atRest, assert.ifError);
    },
  };
  await Promise.race([robot.open(NEW), rest]);
  await robot.component.close();
  return isPaused;
}

describe('a staging that is given up after any operation', () => {
  it('leaves no release without a record', async (t) => {
    const release = await Release.of(NEW);
    let nth = 0;
    for (; nth < OPERATIONS_MAX; nth += 1) {
      const disk = new SlowDisk(START);
      if (!(await pausedAfter(nth, disk, release))) break;
      assert.deepEqual(unclaimed(visibleImage(disk)), [], `operation ${nth}`);
    }
    t.diagnostic(`${nth} operations`);
    assert.ok(nth > 3 && nth < OPERATIONS_MAX, `${nth} operations`);
  });

  it('takes over a release of the same bytes whose records are gone, and no other', async () => {
    const release = await Release.of(NEW);
    for (const isSame of [true, false]) {
      const robot = new Robot({ disk: withStrange(isSame), release, hooksFolder: HOOKS });
      await robot.open(NEW);
      await robot.component.close();
      const { version, state } = robot.component.view;
      assert.equal(version, isSame ? NEW : OLD, state.lastProblem?.message);
      if (isSame) continue;
      assert.equal(state.lastProblem?.code, 'RELEASE_IN_THE_WAY');
      const command = `mv ${ROOT}/releases/${NEW} ${ROOT}/${NEW}.aside`;
      assert.ok(state.lastProblem.hint.includes(command), state.lastProblem.hint);
      assert.deepEqual(state.blocked, []);
    }
  });
});

/** A root with the release of the new version, and nothing that says who made it. */
function withStrange(isSame: boolean): ModelDisk {
  const app = imageAt(START, ROOT);
  assert.ok(app?.kind === 'folder');
  const tree = treeOf(NEW);
  const other = folder({ ...Object.fromEntries(tree.entries), more: file('of a person') });
  const releases = folder({ [OLD]: treeOf(OLD), [NEW]: isSame ? tree : other });
  const root = folder({ ...Object.fromEntries(app.entries), releases });
  return new ModelDisk(folder({ robot: folder({ app: root }) }));
}
