/** The rule that tells a bare mount point from a new robot, on generated mounts. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  isMountMissing,
  mountPointOn,
  ownFolders,
} from '../../../robot-client/install/outside-root.ts';

const above = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')));

/** Mount points, and folders that do not exist; `/` is always mounted. */
interface World {
  readonly mounts: ReadonlySet<string>;
  readonly absent: ReadonlySet<string>;
}

function deviceIn(world: World, path: string): string | null {
  for (let at = path; at !== '/'; at = above(at)) {
    if (world.absent.has(at) && !world.mounts.has(at)) return null;
    if (world.mounts.has(at)) return at;
  }
  return '/';
}

function wayIn(world: World, path: string): { path: string; device: string | null }[] {
  const rest = path === '/' ? [] : wayIn(world, above(path));
  return [...rest, { path, device: deviceIn(world, path) }];
}

const FOLDERS = ['/a', '/a/b', '/a/b/c', '/a/b/c/d'];
const ROOT = '/a/b/c/d';
const some = fc.subarray(FOLDERS).map((found) => new Set(found));
const worlds = fc.record({ mounts: some, absent: some });

describe('the mount of a root', () => {
  it('is the highest folder of its file system', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const deepest = FOLDERS.filter((one) => deviceIn(world, one) !== null).at(-1) ?? '/';
        assert.equal(mountPointOn(wayIn(world, ROOT)), deviceIn(world, deepest));
      }),
    );
  });

  it('is missing exactly when it went and the root leads to what is mounted above', () => {
    const changed = fc.tuple(worlds, worlds);
    fc.assert(
      fc.property(changed, ([before, after]) => {
        const remembered = mountPointOn(wayIn({ ...before, absent: new Set() }, ROOT));
        const now = mountPointOn(wayIn(after, ROOT));
        const isMounted = after.mounts.has(remembered);
        const isMissing = isMountMissing({ remembered, now, isMounted });
        assert.equal(isMissing, !isMounted && remembered !== now && !now.startsWith(remembered));
        if (before.mounts.size === 0) assert.equal(isMissing, false, 'of / nothing is remembered');
      }),
    );
  });

  it('is not missed when a person led the root to another disk', () => {
    const on = { remembered: '/data', isMounted: false };
    assert.equal(isMountMissing({ ...on, now: '/data2' }), false);
    assert.equal(isMountMissing({ ...on, now: '/data/deeper' }), false);
    assert.equal(isMountMissing({ ...on, now: '/' }), true);
    assert.equal(isMountMissing({ ...on, now: '/', isMounted: true }), false, 'a link leads away');
  });
});

describe('the folders that Drover keeps for itself', () => {
  it('are those of systemd, else of the machine for root, else of the user', () => {
    const unit = { RUNTIME_DIRECTORY: '/run/drover:/run/x', STATE_DIRECTORY: '/var/lib/d' };
    assert.deepEqual(ownFolders(unit, false), { runtime: '/run/drover', memory: '/var/lib/d' });
    const machine = { runtime: '/run/drover', memory: '/var/lib/drover' };
    assert.deepEqual(ownFolders({ HOME: '/root', XDG_RUNTIME_DIR: '/run/user/0' }, true), machine);
    const user = { HOME: '/users/u', XDG_RUNTIME_DIR: '/run/user/7' };
    const own = { runtime: '/run/user/7/drover', memory: '/users/u/.local/state/drover' };
    assert.deepEqual(ownFolders(user, false), own);
    assert.deepEqual(ownFolders({ HOME: 'relative' }, false), { runtime: null, memory: null });
  });
});
