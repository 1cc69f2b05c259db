/**
 * Spare files on a disk whose blocks are used up while inodes are left: only one with room of its
 * own counts.
 */

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import {
  fillSpares,
  withSpareInode,
  writeFromSpare,
} from '../../../robot-client/install/state-spare.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { writeMachineState } from '../../../robot-client/update/state-file.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { folder } from '../../crash/disk-image.ts';
import { ModelDisk } from '../../crash/model-disk.ts';
import { bytesOf } from '../../crash/pending.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { faultyDisk } from '../faulty-disk.ts';
import { jobTo } from './root-worlds.ts';

const NOBODY = 65_534;

const LAYOUT = layoutOf('/app');
const COUNT = LIMITS.stateSpares;
const STATE = { path: LAYOUT.machineFile, bytes: new TextEncoder().encode('{"of":"a trial"}') };

const emptyDisk = (): ModelDisk => new ModelDisk(folder({ app: folder({ state: folder({}) }) }));

const takeAllRoom = (disk: ModelDisk): void => {
  disk.bytesMax = bytesOf(disk.inodes);
};

const makeBare = async (disk: Disk, nth: number): Promise<void> =>
  (await disk.open(`${LAYOUT.state}/spare-${nth}`, 'update', 0o600)).close();

/** Bytes of each spare file, by what is set aside for it. */
const roomOf = async (disk: ModelDisk): Promise<number[]> => {
  const names = (await disk.list(LAYOUT.state)).filter((name) => name.startsWith('spare-'));
  return await Promise.all(names.map((name) => disk.allocated(`${LAYOUT.state}/${name}`)));
};

const ALL = Array.from({ length: COUNT }, () => LIMITS.stateSpareBytes);

describe('spare files on a disk without room', () => {
  it('are refused as often as they are asked for, and are whole when room comes back', async () => {
    const disk = emptyDisk();
    takeAllRoom(disk);
    for (let nth = 0; nth <= COUNT; nth += 1) {
      await assert.rejects(fillSpares(disk, LAYOUT), { code: 'DISK_FULL' });
    }
    assert.deepEqual(await roomOf(disk), []);
    disk.bytesMax = Infinity;
    await fillSpares(disk, LAYOUT);
    assert.deepEqual(await roomOf(disk), ALL);
  });

  it('get their room later when the power went before it was set aside', async () => {
    const disk = emptyDisk();
    for (const nth of [1, 3]) await makeBare(disk, nth);
    takeAllRoom(disk);
    await assert.rejects(fillSpares(disk, LAYOUT), { code: 'DISK_FULL' });
    disk.bytesMax = Infinity;
    await fillSpares(disk, LAYOUT);
    assert.deepEqual(await roomOf(disk), ALL);
  });

  it('take a state in one that has room, whichever those without are', async () => {
    const disk = emptyDisk();
    for (const nth of [1, 2]) await makeBare(disk, nth);
    await disk.reserve([`${LAYOUT.state}/spare-3`], LIMITS.stateSpareBytes);
    takeAllRoom(disk);
    assert.equal(await writeFromSpare(disk, LAYOUT, STATE), true);
    assert.deepEqual(await disk.readFile(STATE.path), STATE.bytes);
  });

  it('stay as they are when none of them takes the state', async () => {
    const disk = emptyDisk();
    for (const nth of [1, 2]) await makeBare(disk, nth);
    takeAllRoom(disk);
    assert.equal(await writeFromSpare(disk, LAYOUT, STATE), false);
    assert.deepEqual(await disk.list(LAYOUT.state), ['spare-1', 'spare-2']);
  });

  it('go on to the next one when the disk refuses the first although it has room', async () => {
    const model = emptyDisk();
    await fillSpares(model, LAYOUT);
    let isFirst = true;
    const disk = faultyDisk(({ name, path }) => {
      if (name !== 'write' || !isFirst) return;
      isFirst = false;
      throw new DroverError('DISK_FULL', `write ${path}: refused`);
    }, model);
    assert.equal(await writeFromSpare(disk, LAYOUT, STATE), true);
    assert.deepEqual(await model.readFile(STATE.path), STATE.bytes);
    assert.deepEqual(await roomOf(model), ALL);
  });

  it('give the inode of one without room for a link first', async () => {
    const disk = emptyDisk();
    await disk.reserve([`${LAYOUT.state}/spare-1`], LIMITS.stateSpareBytes);
    await makeBare(disk, 2);
    disk.inodesMax = disk.inodes.size;
    await withSpareInode(disk, LAYOUT, () => disk.symlink('releases/1.0.0', '/app/active.new'));
    assert.deepEqual(await disk.list(LAYOUT.state), ['spare-1']);
  });

  it('take each state of a trial and of the way back, and none before a swap', async () => {
    for (const phase of ['probation', 'rolling_back', 'reverting', 'stuck', 'swapping'] as const) {
      const disk = emptyDisk();
      await fillSpares(disk, LAYOUT);
      takeAllRoom(disk);
      const write = writeMachineState(disk, LAYOUT, { ...freshState(), phase, job: jobTo() });
      if (phase === 'swapping') await assert.rejects(write, { code: 'DISK_FULL' });
      else await write;
    }
  });
});

describe('spare files that another user made', () => {
  it('are passed over, and others are made', async (t) => {
    if (process.geteuid?.() !== 0) return t.skip('wants root, to become another user');
    const layout = layoutOf(join(await tempFolder(t), 'app'));
    await mkdir(layout.state, { recursive: true });
    await fillSpares(realDisk, layout);
    await chown(layout.state, NOBODY, NOBODY);
    await chmod(dirname(layout.root), 0o755);
    process.seteuid?.(NOBODY);
    try {
      const written = { ...STATE, path: layout.machineFile };
      assert.equal(await writeFromSpare(realDisk, layout, written), false);
      await fillSpares(realDisk, layout);
      assert.equal(await writeFromSpare(realDisk, layout, written), true);
    } finally {
      process.seteuid?.(0);
    }
    assert.equal((await readdir(layout.state)).length, 1 + 2 * COUNT);
  });
});
