/**
 * A disk that fills up, becomes read-only or forbids writing at any operation of an update: the
 * robot says so, a complete version runs all the while, and when the cause is gone the update
 * succeeds. The disk is the real one with a gate, and a real tmpfs where one can be mounted.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tarGz, type SignedBundle } from '../../helpers/fleet.ts';
import { inLanes } from '../../helpers/lanes.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';
import { faultyDisk, isChange, type DiskOperation } from '../faulty-disk.ts';

const NEW = '1.1.0';
const HOUR_MS = 3_600_000;
/** Robots of one cause that update at one instant: more would wait for the disk and the cores. */
const ROBOTS_AT_ONCE = 4;
let bundle: SignedBundle;
before(async () => {
  const files = { 'VERSION.txt': `${NEW}\n`, 'bin/app': { text: '#!/bin/sh\n', mode: 0o755 } };
  bundle = await fleet.makeBundle({ version: NEW, payload: await tarGz(files) });
});

interface Cause {
  readonly name: string;
  readonly code: ErrorCode;
  readonly why: string;
  readonly meets: (operation: DiskOperation) => boolean;
}

const NEEDS_ROOM: readonly DiskOperation['name'][] = ['write', 'create', 'mkdir', 'symlink'];
const isSync = ({ name }: DiskOperation): boolean => name === 'sync' || name === 'syncFolder';
const isWrite = (operation: DiskOperation): boolean => isChange(operation) && !isSync(operation);

const CAUSES: readonly Cause[] = [
  {
    name: 'full',
    code: 'DISK_FULL',
    why: 'ENOSPC: no space left on device',
    meets: ({ name }) => NEEDS_ROOM.includes(name),
  },
  {
    name: 'read-only',
    code: 'DISK_READ_ONLY',
    why: 'EROFS: read-only file system',
    meets: isWrite,
  },
  {
    name: 'forbidden',
    code: 'DISK_WRITE_FAILED',
    why: 'EACCES: permission denied',
    meets: isWrite,
  },
];

/** The trouble of the disk as the robot may report it, by where it was met. */
const REPORTS = [
  'DISK_FULL',
  'DISK_READ_ONLY',
  'DISK_WRITE_FAILED',
  'SWAP_FAILED',
  'ROLLBACK_FAILED',
];

/** From the n-th operation that it meets on, the disk refuses; returns how many there were. */
function breakAt(bench: Bench, cause: Cause, n: number): () => number {
  let met = 0;
  bench.gate = (operation) => {
    if (!cause.meets(operation)) return;
    met += 1;
    if (met > n) throw new DroverError(cause.code, `write ${operation.path}: ${cause.why}`);
  };
  return () => met;
}

const versionOnDisk = (bench: Bench): string =>
  readFileSync(join(bench.root, 'active/VERSION.txt'), 'utf8').trim();

const isDone = (bench: Bench): boolean =>
  bench.component.view.version === NEW && bench.component.view.state.phase === 'idle';

/** The cause is gone, and the wait after a failure is over. */
async function healAndFinish(bench: Bench): Promise<void> {
  await bench.heal();
  bench.clockOffMs += HOUR_MS;
  bench.offer();
  await bench.runs(NEW);
  await bench.cutPower();
  await bench.runs(NEW);
  assert.equal(versionOnDisk(bench), NEW);
}

async function playBrokenAt(t: TestContext, cause: Cause, n: number): Promise<void> {
  const bench = await Bench.open(t);
  breakAt(bench, cause, n);
  bench.announce(bundle, NEW);
  await waitUntil('a report or the end', () => bench.codes.length > 0 || isDone(bench), {
    look: () => `operation ${n}\n${bench.describe()}`,
  });
  assert.ok([OLD, NEW].includes(versionOnDisk(bench)), `operation ${n}: ${versionOnDisk(bench)}`);
  assert.ok(
    isDone(bench) || bench.codes.every((code) => REPORTS.includes(code)),
    `operation ${n}: ${bench.codes.join(' ')}`,
  );
  await healAndFinish(bench);
}

describe('a disk that stops in the middle of an update', { concurrency: 3 }, () => {
  for (const cause of CAUSES) {
    it(`is ${cause.name} from each operation on: reported, harmless, and made good later`, async (t) => {
      const whole = await Bench.open(t);
      const count = breakAt(whole, cause, Infinity);
      whole.announce(bundle, NEW);
      await whole.runs(NEW);
      const operations = count();
      assert.ok(operations > 20, `${operations} operations`);
      const all = Array.from({ length: operations }, (_, n) => n);
      await inLanes(ROBOTS_AT_ONCE, all, (n) => playBrokenAt(t, cause, n));
      t.diagnostic(`${operations} operations, each the first that failed`);
    });
  }
});

describe('room for an update', () => {
  const withFree = (bytes: number, inodes: number | null) => ({
    disk: { ...realDisk, free: async () => ({ bytes, inodes }) },
  });

  it('is refused for want of inodes, with their number', async (t) => {
    const bench = await Bench.open(t, withFree(1e12, LIMITS.diskSpareInodes - 1));
    bench.announce(bundle, NEW);
    await waitUntil('the refusal', () => bench.codes.includes('DISK_SPACE_SHORT'));
    const { lastProblem } = bench.component.view.state;
    assert.match(lastProblem?.message ?? '', /got 255 inodes free, want 256/);
    assert.equal(versionOnDisk(bench), OLD);
  });

  it('is there on a file system that does not count inodes', async (t) => {
    const bench = await Bench.open(t, withFree(1e12, null));
    bench.announce(bundle, NEW);
    await bench.runs(NEW);
  });

  it('counts what was downloaded before as present, holes not', async (t) => {
    const files = { blob: randomText(400_000) };
    const large = await fleet.makeBundle({ version: NEW, payload: await tarGz(files) });
    const size = large.payload.byteLength;
    // Enough for what a whole update needs but for half of the payload.
    let bytes = Math.round(size * 4.5 + LIMITS.diskSpareBytes);
    const disk = { ...realDisk, free: async () => ({ bytes, inodes: 1e6 }) };
    const bench = await Bench.open(t, { disk });
    bench.announce(large, NEW);
    await waitUntil('the refusal', () => bench.codes.includes('DISK_SPACE_SHORT'));
    assert.deepEqual(bench.phases, ['checking', 'idle']);

    const folder = join(bench.root, 'staging', large.artifact.sha256.slice(0, 32));
    await realDisk.mkdir(folder);
    const file = await realDisk.open(join(folder, 'payload.tar.gz'), 'create');
    await file.write(new Uint8Array(1), size - 1); // as long as the payload, and all of it missing
    bench.clockOffMs += HOUR_MS;
    bench.offer();
    await waitUntil('another refusal', () => bench.codes.length === 2);
    assert.deepEqual(bench.phases.slice(2), ['checking', 'idle']);
    assert.equal(bench.carrier.sent, 0, 'nothing was fetched');

    await file.write(large.payload.subarray(0, Math.round(size * 0.7)), 0);
    await file.close();
    bench.clockOffMs += HOUR_MS;
    bench.offer();
    await waitUntil('the download to begin', () => bench.carrier.sent > 0);
    bytes = 1e12;
    await bench.runs(NEW);
  });

  it('is made by removing leftovers before an update is refused', async (t) => {
    let isRoomy = false;
    const disk = faultyDisk(
      ({ name, path }) => {
        if (name === 'removeTree' && path.endsWith('/releases/0.9.0')) isRoomy = true;
      },
      { ...realDisk, free: async () => ({ bytes: isRoomy ? 1e12 : 0, inodes: 1e6 }) },
    );
    const bench = await Bench.open(t, { disk });
    await realDisk.mkdir(join(bench.root, 'releases/0.9.0'));
    // The record of a release that Drover made: only such a one is a leftover.
    await realDisk.mkdir(join(bench.root, 'bases'));
    await writeFile(join(bench.root, 'bases/0.9.0'), '{}');
    bench.announce(bundle, NEW);
    await bench.runs(NEW);
    assert.deepEqual(bench.codes, []);
  });
});

/** Text that does not compress to nothing. */
const randomText = (bytes: number): string => randomBytes(bytes).toString('base64');

const AS_ROOT = process.getuid?.() === 0 ? [] : ['sudo', '-n'];

function asRoot(...command: string[]): void {
  const [program = '', ...args] = [...AS_ROOT, ...command];
  execFileSync(program, args, { stdio: 'pipe' });
}

/** A tmpfs of its own; null when this user cannot mount one and the test was skipped. */
async function mountTmpfs(t: TestContext, options: string): Promise<string | null> {
  const folder = await mkdtemp(join(tmpdir(), 'drover-tmpfs-'));
  try {
    asRoot('mount', '-t', 'tmpfs', '-o', `mode=0777,${options}`, 'tmpfs', folder);
  } catch (error) {
    await rmdir(folder);
    t.skip(`a tmpfs cannot be mounted here: ${String(error).split('\n')[0]}`);
    return null;
  }
  t.after(async () => {
    asRoot('umount', '--lazy', folder);
    await rmdir(folder);
  });
  return folder;
}

/** Writes until the kernel says ENOSPC. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let size = 1 << 20; size >= 1; size = size >> 2) {
      for (;;) {
        try {
          if (writeSync(file, Buffer.alloc(size)) < size) break;
        } catch {
          break; // full for pieces of this size
        }
      }
    }
  } finally {
    closeSync(file);
  }
}

describe('a real file system', { concurrency: 3 }, () => {
  it('fills up in mid-download: DISK_FULL, then the update when there is room again', async (t) => {
    const folder = await mountTmpfs(t, 'size=40m');
    if (folder === null) return;
    const bench = await Bench.open(t, {}, folder);
    bench.onPhase = (phase) => {
      if (phase === 'downloading') fill(join(folder, 'filler'));
    };
    bench.announce(bundle, NEW);
    await waitUntil('the refusal', () => bench.codes.length > 0);
    assert.deepEqual(bench.codes, ['DISK_FULL']);
    assert.equal(versionOnDisk(bench), OLD);
    rmSync(join(folder, 'filler'));
    await healAndFinish(bench);
  });

  it('is filled by others in mid-download, and the update has its room already', async (t) => {
    const folder = await mountTmpfs(t, 'size=48m');
    if (folder === null) return;
    const files = { blob: randomText(2_000_000) };
    const large = await fleet.makeBundle({ version: NEW, payload: await tarGz(files) });
    const bench = await Bench.open(t, {}, folder);
    const [firstChunk] = [...large.chunks.keys()].filter(
      (one) => one !== large.artifact.chunk_index,
    );
    bench.carrier.answers = (hash) => hash !== firstChunk;
    bench.announce(large, NEW);
    const staging = join(folder, 'staging', large.artifact.sha256.slice(0, 32));
    const isSetAside = async (): Promise<boolean> =>
      (await realDisk.allocated(join(staging, 'room'))) >= large.payload.byteLength;
    await waitUntil('the room to be set aside', isSetAside, { look: () => bench.describe() });
    const { bytes } = await realDisk.free(folder);
    // All but what the state file and its kin need: a log of somebody else has run wild.
    asRoot('fallocate', '-l', String(bytes - 1024 * 1024), join(folder, 'filler'));
    bench.carrier.answers = () => true;
    await bench.runs(NEW);
    assert.deepEqual(bench.codes, []);
  });

  it('has too few inodes: DISK_SPACE_SHORT before a byte is fetched', async (t) => {
    const folder = await mountTmpfs(t, 'size=40m,nr_inodes=100');
    if (folder === null) return;
    const bench = await Bench.open(t, {}, folder);
    bench.announce(bundle, NEW);
    await waitUntil('the refusal', () => bench.codes.length > 0);
    assert.deepEqual(bench.codes, ['DISK_SPACE_SHORT']);
    assert.equal(bench.carrier.sent, 0);
  });

  it('turns read-only: reported, and the update succeeds when it is writable again', async (t) => {
    const folder = await mountTmpfs(t, 'size=40m');
    if (folder === null) return;
    const bench = await Bench.open(t, {}, folder);
    bench.onPhase = (phase) => {
      if (phase === 'verifying') asRoot('mount', '-o', 'remount,ro', folder);
    };
    bench.announce(bundle, NEW);
    await waitUntil('the refusal', () => bench.codes.length > 0, { look: () => bench.describe() });
    assert.deepEqual(bench.codes, ['DISK_READ_ONLY']);
    assert.equal(versionOnDisk(bench), OLD);
    asRoot('mount', '-o', 'remount,rw', folder);
    await healAndFinish(bench);
  });
});
