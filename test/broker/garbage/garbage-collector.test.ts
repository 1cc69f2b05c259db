/** The collector on real stores: the chunks that it removes, and those that it keeps for now. */

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { Closers } from '../../../shared/io/closers.ts';
import { FolderChunkStore } from '../../../broker/chunks/chunk-store.ts';
import { collectFromStore } from '../../../broker/garbage/collect.ts';
import { GarbageCollector } from '../../../broker/garbage/collector.ts';
import type { GarbageMark } from '../../../broker/garbage/ledger.ts';
import { GarbageBook } from '../../../broker/garbage/marks.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { UPDATES_TOPIC } from '../../../shared/formats/topics.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { GarbageBench, KEEP } from './garbage-bench.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const HOUR = 3_600_000;
const log = makeLog('test', 'silent');
const hash = sha256Hex(Buffer.from('chunk'));

/** Something that ends when the test says so. */
function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}

const full = (): DroverError => new DroverError('DISK_FULL', 'write notes: no room');

/** One garbage chunk; its removal and its marks wait for the gates. */
async function openGated(isDiskFull = false) {
  const removal = gate();
  const disk = gate();
  const seen = { removing: false, isGone: false, deletes: [] as boolean[] };
  const clock = { now: 0 };
  const announcement = {};
  const collector = await GarbageCollector.open({
    place: {
      name: 'store',
      list: async function* () {
        yield seen.isGone ? [] : [hash];
      },
      remove: async (_, mayRemove) => {
        seen.removing = true;
        await removal.opened;
        if (!mayRemove()) return 0;
        seen.isGone = true;
        return 1;
      },
    },
    needed: { basis: () => announcement, read: () => Promise.resolve(new Set<Sha256Hex>()) },
    marks: {
      load: () => Promise.resolve(new Map<Sha256Hex, GarbageMark>()),
      put: () => (isDiskFull ? Promise.reject(full()) : Promise.resolve()),
      delete: async (_, isUrgent) => {
        if (isDiskFull) throw full();
        seen.deletes.push(isUrgent);
        if (isUrgent) await disk.opened;
      },
    },
    ...{ keepMs: KEEP, log },
    uptimeMs: () => clock.now,
    saveUptime: () => (isDiskFull ? Promise.reject(full()) : Promise.resolve()),
    isHeldBack: () => false,
    isPaused: () => false,
  });
  await collector.collect();
  clock.now = KEEP;
  return { collector, removal, disk, seen };
}

test('chunks that are on their way are no warning; those that stay away for a pass are, once', async () => {
  const warned: string[] = [];
  const lost = (what: string) => new DroverError('CHUNKS_LOST', `list the chunks of ${what}: gone`);
  let problem = lost('a');
  const collector = await GarbageCollector.open({
    place: {
      name: 'store',
      list: async function* () {
        yield [];
      },
      remove: () => Promise.resolve(0),
    },
    needed: { basis: () => ({}), read: () => Promise.reject(problem) },
    marks: {
      load: () => Promise.resolve(new Map<Sha256Hex, GarbageMark>()),
      put: () => Promise.resolve(),
      delete: () => Promise.resolve(),
    },
    log: {
      ...log,
      warn: (facts: { problem: { message: string } }) => warned.push(facts.problem.message),
    },
    ...{ keepMs: KEEP, uptimeMs: () => 0, saveUptime: () => Promise.resolve() },
    isHeldBack: () => false,
    isPaused: () => false,
  });
  await collector.collect();
  problem = lost('b');
  await collector.collect();
  assert.deepEqual(warned, [], 'each was new');
  await collector.collect();
  await collector.collect();
  assert.deepEqual(warned, ['list the chunks of b: gone']);
  problem = new DroverError('JSON_INVALID', 'read announcement: no JSON');
  await collector.collect();
  assert.equal(warned.length, 2, 'any other problem is told at once');
});

const turns = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

describe('the garbage collector at the instant of', () => {
  it('a removal that has begun: a user of the chunk waits for its end, and it is kept', async () => {
    const { collector, removal, disk, seen } = await openGated();
    disk.open();
    const look = collector.collect();
    await waitUntil('the removal to begin', () => seen.removing);
    let isUsed = false;
    const use = collector.use(hash, () => Promise.resolve((isUsed = true)));
    await turns();
    assert.equal(isUsed, false, 'neither read nor written while it may go');
    removal.open();
    await Promise.all([look, use]);
    assert.deepEqual([isUsed, seen.isGone], [true, false]);
    assert.equal(collector.view().removed_chunks, 0);
  });

  it('a use: it is on the disk before it goes on, also for others that come meanwhile', async () => {
    const { collector, disk, seen } = await openGated();
    const used: number[] = [];
    const uses = [1, 2].map((one) =>
      collector.use(hash, () => Promise.resolve(void used.push(one))),
    );
    await turns();
    assert.deepEqual([used, seen.deletes], [[], [true]]);
    disk.open();
    await Promise.all(uses);
    assert.deepEqual(used.sort(), [1, 2]);
  });

  it('its return after a removal: the old mark is off the disk before it is stored', async () => {
    const { collector, removal, disk, seen } = await openGated();
    removal.open();
    const look = collector.collect();
    await waitUntil('it to be gone', () => seen.isGone);
    let isStored = false;
    const put = collector.use(hash, () => Promise.resolve((isStored = true)));
    await turns();
    assert.equal(isStored, false);
    disk.open();
    await Promise.all([look, put]);
    assert.ok(seen.deletes.includes(true));
  });
});

describe('the garbage collector on a full disk', () => {
  it('removes all the same, and keeps no reader waiting', async () => {
    const { collector, removal, seen } = await openGated(true);
    assert.equal(await collector.use(hash, () => Promise.resolve('read')), 'read');
    assert.equal(seen.isGone, false);
    const other = await openGated(true);
    removal.open();
    other.removal.open();
    await other.collector.collect();
    assert.equal(other.seen.isGone, true);
  });
});

describe('garbage on real stores', () => {
  it('goes a keep time of running after its bundle was withdrawn, over restarts', async (t) => {
    const bench = await GarbageBench.open(t);
    const [old, next] = [await bench.bundle('1.0.0'), await bench.bundle('1.1.0')];
    for (const one of [old, next]) await bench.upload(one);
    await bench.announce(1, old);
    await bench.collector.collect();
    await bench.announce(2, next);
    await bench.collector.collect();
    assert.equal(bench.collector.view().pending_chunks, old.chunks.size);
    await bench.stop();
    bench.uptime = KEEP - 1;
    await bench.start();
    await bench.collector.collect();
    assert.equal(await bench.present(old), old.chunks.size);
    bench.uptime = KEEP;
    await bench.collector.collect();
    assert.deepEqual([await bench.present(old), await bench.present(next)], [0, next.chunks.size]);
    assert.equal(bench.collector.view().removed_chunks, old.chunks.size);
    assert.equal(bench.store.chunksStored, next.chunks.size, 'the quota counts it as gone');
  });

  it('is nothing that a clock on the wall could make', async (t) => {
    const bench = await GarbageBench.open(t);
    const old = await bench.bundle('1.0.0');
    await bench.upload(old);
    await bench.announce(1);
    await bench.collector.collect();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 40 * 365 * 24 * HOUR });
    await bench.collector.collect();
    await bench.stop();
    await bench.start();
    await bench.collector.collect();
    assert.equal(await bench.present(old), old.chunks.size);
  });

  it('is nothing while an announcement cannot be verified, or an index is lost', async (t) => {
    const bench = await GarbageBench.open(t);
    const [old, next] = [await bench.bundle('1.0.0'), await bench.bundle('1.1.0')];
    for (const one of [old, next]) await bench.upload(one);
    const doubt = async (code: string): Promise<void> => {
      bench.uptime += 10 * KEEP;
      await bench.collector.collect();
      bench.uptime += 10 * KEEP;
      await bench.collector.collect();
      const { problem, pending_chunks } = bench.collector.view();
      assert.deepEqual([problem?.code, pending_chunks], [code, 0]);
      assert.equal(await bench.present(old), old.chunks.size, code);
    };
    await doubt('NOT_FOUND');
    await bench.announce(1, next);
    await bench.stop();
    await bench.start(makeFleet('other').trust);
    await doubt('FLEET_WRONG');
    await bench.stop();
    await bench.start();
    const index = next.artifact.chunk_index as Sha256Hex;
    const bytes = await bench.store.get(index);
    await bench.store.remove(index);
    await doubt('CHUNKS_LOST');
    await bench.store.put(index, bytes as Uint8Array);
    await bench.collector.collect();
    assert.equal(bench.collector.view().problem, null);
    bench.uptime += KEEP;
    await bench.collector.collect();
    assert.deepEqual([await bench.present(old), await bench.present(next)], [0, next.chunks.size]);
  });

  it('is no attachment of an announced bundle; a lost one does not stop the collector [P-5.10]', async (t) => {
    const bench = await GarbageBench.open(t);
    const [one, sbom] = [await bench.bundle('1.0.0'), await bench.bundle('9.0.0')];
    for (const each of [one, sbom]) await bench.upload(each);
    const attachments = [{ ...sbom.artifact, kind: 'sbom' }];
    const rollout = bench.signer.makeRollout('r0', one, { attachments });
    await bench.control.put({
      ...{ topic: UPDATES_TOPIC, qos: 1 },
      payload: bench.signer.announce(1, [rollout]),
    });
    const later = async (): Promise<void> => {
      await bench.collector.collect();
      bench.uptime += KEEP;
      await bench.collector.collect();
    };
    await later();
    assert.equal(await bench.present(sbom), sbom.chunks.size);
    await bench.store.remove(sbom.artifact.chunk_index as Sha256Hex);
    await bench.stop();
    await bench.start();
    await later();
    assert.equal(bench.collector.view().problem, null);
    const left = [await bench.present(one), await bench.present(sbom)];
    assert.deepEqual(left, [one.chunks.size, 0], 'its chunks are not known');
  });

  it('makes room for a new bundle in a full store, an hour after it was withdrawn', async (t) => {
    const bench = await GarbageBench.open(t);
    const old = await bench.bundle('1.0.0');
    await bench.upload(old);
    await bench.announce(1, old);
    await bench.collector.collect();
    await bench.announce(2);
    await bench.collector.collect();
    bench.uptime = HOUR - 1;
    assert.equal(await bench.collector.makeRoom(1), false);
    bench.uptime = HOUR;
    assert.equal(await bench.collector.makeRoom(50_000), true);
    assert.equal(await bench.present(old), 0);
  });

  it('may lose all of its memory: every chunk then waits again', async (t) => {
    const bench = await GarbageBench.open(t);
    const old = await bench.bundle('1.0.0');
    await bench.upload(old);
    await bench.announce(1);
    await bench.collector.collect();
    await bench.stop();
    const folder = join(bench.folder, 'garbage');
    await rm(folder, { recursive: true });
    bench.uptime = KEEP;
    await bench.start();
    await bench.collector.collect();
    assert.equal(await bench.present(old), old.chunks.size);
    bench.uptime = 2 * KEEP;
    await bench.collector.collect();
    assert.equal(await bench.present(old), 0);
  });

  it('goes by itself once the collector runs', async (t) => {
    const folder = await tempFolder(t);
    const bench = await GarbageBench.open(t);
    const store = await FolderChunkStore.open({ folder, bytesMax: 1e9, reserveBytes: 0 });
    const closers = new Closers();
    const garbage = await collectFromStore({
      ...{ dataFolder: folder, keepMs: 300, log, store },
      control: bench.control,
      trust: bench.signer.trust,
      closers,
    });
    t.after(() => closers.close());
    for (let at = 0; at < 60; at += 1) {
      const bytes = Buffer.from(`chunk ${at}`);
      await garbage.chunks.put(sha256Hex(bytes), bytes);
    }
    await bench.announce(1);
    garbage.run();
    await waitUntil('all of them to go', () => garbage.views()[0]?.removed_chunks === 60);
    assert.equal(store.chunksStored, 0);
  });

  it('waits again when the broker ran without a collector, or as another one, meanwhile', async (t) => {
    const bench = await GarbageBench.open(t);
    const old = await bench.bundle('1.0.0');
    await bench.upload(old);
    await bench.announce(1);
    const folder = join(bench.folder, 'garbage');
    const between = [
      async () => {
        const { control, store, signer } = bench;
        const off = { keepMs: null, trust: signer.trust, closers: new Closers() };
        await collectFromStore({ ...off, dataFolder: bench.folder, control, store, log });
      },
      async () => await (await GarbageBook.open(folder, ['engine', 'copies'])).close(),
    ];
    for (const meanwhile of between) {
      await bench.collector.collect();
      await bench.stop();
      await meanwhile();
      bench.uptime += KEEP;
      await bench.start();
      await bench.collector.collect();
      assert.equal(await bench.present(old), old.chunks.size);
    }
    bench.uptime += KEEP;
    await bench.collector.collect();
    assert.equal(await bench.present(old), 0);
  });

  it('stays where no one may decide which chunks are needed, and where it is kept on purpose', async (t) => {
    const bench = await GarbageBench.open(t);
    const dataFolder = await tempFolder(t);
    const parts = { dataFolder, log, store: bench.store, control: bench.control };
    const closers = new Closers();
    closers.add = () => assert.fail('nothing is opened');
    const { trust } = bench.signer;
    for (const off of [
      { keepMs: null, trust },
      { keepMs: KEEP, trust: null },
    ]) {
      const garbage = await collectFromStore({ ...parts, ...off, closers });
      assert.equal(garbage.chunks, bench.store);
      assert.deepEqual(garbage.views(), []);
    }
  });
});
