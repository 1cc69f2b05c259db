/**
 * A disk that fills up, becomes read-only or forbids writing at any operation of an update: the
 * robot says so, a complete version runs all the while, and when the cause is gone the update
 * succeeds. The disk is the real one with a gate, and a real tmpfs where one can be mounted.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tarGz, type SignedBundle } from '../../helpers/fleet.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';
import { faultyDisk } from '../faulty-disk.ts';
import {
  describeBrokenDisk,
  healAndFinish,
  makeSmallBundle,
  NEW,
  versionOnDisk,
} from './broken-disk.ts';

/** Of the operations that fail first; the campaign takes all. */
const ONE_IN = 8;
let bundle: SignedBundle;
before(async () => {
  bundle = await makeSmallBundle();
});

describeBrokenDisk(ONE_IN);

const HOUR_MS = 3_600_000;

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
    // Fills all but the room for the state file, as a foreign log that grows without bound.
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
    // Told again for the state that the disk refuses as well.
    assert.deepEqual([...new Set(bench.codes)], ['DISK_READ_ONLY']);
    assert.equal(versionOnDisk(bench), OLD);
    asRoot('mount', '-o', 'remount,rw', folder);
    await healAndFinish(bench);
  });
});
