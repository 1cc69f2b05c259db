/**
 * A disk that stops at an operation of an update, at each one or at a share of them: the robot says
 * so, a complete version runs all the while, and when the cause is gone the update succeeds.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { tarGz, type SignedBundle } from '../../helpers/fleet.ts';
import { inLanes } from '../../helpers/lanes.ts';
import { seedOfRun } from '../../helpers/run-seed.ts';
import { Share } from '../../helpers/share.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet, OLD } from '../bench.ts';
import { isChange, type DiskOperation } from '../faulty-disk.ts';

export const NEW = '1.1.0';
const HOUR_MS = 3_600_000;
/** Robots of one cause that update at one instant: more would wait for the disk and the cores. */
const ROBOTS_AT_ONCE = 4;

/** A small application as version NEW. */
export const makeSmallBundle = async (): Promise<SignedBundle> =>
  fleet.makeBundle({
    version: NEW,
    payload: await tarGz({
      'VERSION.txt': `${NEW}\n`,
      'bin/app': { text: '#!/bin/sh\n', mode: 0o755 },
    }),
  });

interface Cause {
  readonly name: string;
  readonly code: ErrorCode;
  readonly why: string;
  readonly meets: (operation: DiskOperation) => boolean;
}

const NEEDS_ROOM: readonly DiskOperation['name'][] = ['write', 'new', 'create', 'mkdir', 'symlink'];
const SYNCS: readonly DiskOperation['name'][] = ['sync', 'syncFolder', 'syncAll'];
const isSync = ({ name }: DiskOperation): boolean => SYNCS.includes(name);
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

/** From the n-th operation that it meets on, the disk refuses; returns their names so far. */
function breakAt(bench: Bench, cause: Cause, n: number): readonly string[] {
  const met: string[] = [];
  bench.gate = (operation) => {
    if (!cause.meets(operation)) return;
    met.push(operation.name);
    if (met.length > n) throw new DroverError(cause.code, `write ${operation.path}: ${cause.why}`);
  };
  return met;
}

export const versionOnDisk = (bench: Bench): string =>
  readFileSync(join(bench.root, 'active/VERSION.txt'), 'utf8').trim();

const isDone = (bench: Bench): boolean =>
  bench.component.view.version === NEW && bench.component.view.state.phase === 'idle';

/** The cause is gone, and the wait after a failure is over. */
export async function healAndFinish(bench: Bench): Promise<void> {
  await bench.heal();
  bench.clockOffMs += HOUR_MS;
  bench.offer();
  await bench.runs(NEW);
  await bench.cutPower();
  await bench.runs(NEW);
  assert.equal(versionOnDisk(bench), NEW);
}

async function playBrokenAt(t: TestContext, cause: Cause, at: { n: number; bundle: SignedBundle }) {
  const { n, bundle } = at;
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

/** @param oneIn 1: at each operation; n: at one in n, and at one of each name for each cause */
export function describeBrokenDisk(oneIn: number): void {
  describe('a disk that stops in the middle of an update', { concurrency: 3 }, () => {
    let bundle: SignedBundle;
    before(async () => {
      bundle = await makeSmallBundle();
    });
    const seed = seedOfRun();
    for (const cause of CAUSES) {
      it(`is ${cause.name} from some operation on: reported, harmless, and made good later`, async (t) => {
        const whole = await Bench.open(t);
        const met = breakAt(whole, cause, Infinity);
        whole.announce(bundle, NEW);
        await whole.runs(NEW);
        const all = met.map((name, n) => ({ name, n }));
        assert.ok(all.length > 20, `${all.length} operations`);
        const share = new Share(oneIn, seed);
        const chosen = share.of(all, ({ name }) => name);
        await inLanes(ROBOTS_AT_ONCE, chosen, ({ n }) => playBrokenAt(t, cause, { n, bundle }));
        const count = `${chosen.length} of ${all.length}`;
        t.diagnostic(`${count} operations were the first to fail: ${share.said}`);
      });
    }
  });
}
