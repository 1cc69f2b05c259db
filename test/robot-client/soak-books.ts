/**
 * Measures what a process and its folder hold at an instant, and whether that stayed flat over a
 * soak. Counts of things must not grow by one; memory is noisy, so a line is laid through it.
 */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

export interface Books {
  readonly updates: number;
  readonly heapBytes: number;
  /** Buffers and what else lives outside the heap of V8. */
  readonly outsideBytes: number;
  readonly openFiles: number;
  readonly timers: number;
  /** Topic filters that the robot holds at its broker. */
  readonly subscriptions: number;
  /** Under the robot's root: releases, staging, state. */
  readonly files: number;
  readonly diskBytes: number;
  /** Of it what the agent remembers. */
  readonly stateBytes: number;
  readonly reportBytes: number;
  readonly blocked: number;
}

export type Measure = Exclude<keyof Books, 'updates'>;

/**
 * By how much each may be larger at the end than when the warm-up was over. Counts must stay the
 * same. Files may grow, since some numbers in them get more digits. Memory is measured after a
 * collection: it is never quite the same, and grows a little as long as the engine learns.
 */
export const GROWTH_MAX: Readonly<Record<Measure, number>> = {
  heapBytes: 128 * 1024,
  outsideBytes: 256 * 1024,
  openFiles: 0,
  timers: 2, // a report that is due in two seconds may be waiting, or not
  subscriptions: 0,
  files: 0,
  diskBytes: 256,
  stateBytes: 256,
  reportBytes: 64,
  blocked: 0,
};

/**
 * Memory is measured after a full collection, so `gc` is needed; and without the optimising
 * compiler, as the agent runs (robot-client/drover-robot): its machine code grew the heap by 1 MiB
 * in the first 500 updates, more than any leak that is looked for.
 */
export function makeCollector(): () => void {
  setFlagsFromString('--no-opt');
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** Files below a folder and their bytes; folders and links count as one file of no bytes. */
export async function weighFolder(folder: string): Promise<{ files: number; bytes: number }> {
  let [files, bytes] = [0, 0];
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    files += 1;
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return { files, bytes };
}

/** The rise of a straight line through the points (least squares), from the first to the last. */
export function riseOf(points: readonly { at: number; value: number }[]): number {
  const mean = (of: (point: { at: number; value: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [at, value] = [mean((one) => one.at), mean((one) => one.value)];
  const covariance = mean((one) => (one.at - at) * (one.value - value));
  const variance = mean((one) => (one.at - at) ** 2);
  const span = (points.at(-1)?.at ?? 0) - (points[0]?.at ?? 0);
  return variance === 0 ? 0 : (covariance / variance) * span;
}

/** @returns what grew, as sentences; empty when all stayed flat */
export function growthIn(books: readonly Books[]): string[] {
  return (Object.keys(GROWTH_MAX) as Measure[]).flatMap((measure) => {
    const rise = riseOf(books.map((one) => ({ at: one.updates, value: one[measure] })));
    const max = GROWTH_MAX[measure];
    // A line through whole numbers that do not change rises by nothing but rounding.
    if (rise <= max + 1e-6) return [];
    const seen = books.map((one) => one[measure]).join(' ');
    return [`${measure} rose by ${rise.toFixed(1)} (at most ${max}): ${seen}`];
  });
}
