/**
 * Ends the processes of a verb, or of a `stop` hook: two runs of one module must not work on the
 * same board at once. The note file has the number of its first process and the name of the run, so
 * that an agent finds those that a killed agent left.
 */

import { lstat, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../shared/base/limits.ts';
import { readPlainNow } from '../install/small-file.ts';
import { processesOf, type NotedRun, type OurRun } from './processes.ts';

/** Beginning of a variable that the processes of a verb have. */
const VERB_MARKER = 'DROVER_VERB=';

/**
 * @param marker beginning of a variable that every such process has, besides its `DROVER_ROOT`
 * @returns false when some process still runs, because it hangs in the kernel
 */
export async function endOrphan(
  noteFile: string,
  root: string,
  marker = VERB_MARKER,
): Promise<boolean> {
  const noted = noteIn(noteFile);
  return noted === null || (await endAll({ ...noted, root, marker, isFresh: false }));
}

/**
 * Waits for what a verb left running: a write to a device that goes on in the background would meet
 * the next verb. Processes that still run at the time-out are killed.
 * @returns false when something was killed
 * @throws the reason of the signal; what ran is killed then
 */
export async function awaitRest(
  noted: NotedRun,
  on: { readonly root: string; readonly until: number; readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  const run = { ...noted, root: on.root, marker: VERB_MARKER, isFresh: true };
  // Each look reads the list of all processes: seldom when a verb leaves something for minutes.
  let waitMs: number = LIMITS.processLookMs;
  for (;;) {
    if ((await processesOf(run)).length === 0) return true;
    const isLate = performance.now() > on.until;
    if (isLate || on.signal?.aborted === true) await endAll(run);
    on.signal?.throwIfAborted();
    if (isLate) return false;
    await sleep(waitMs);
    waitMs = Math.min(waitMs * 2, LIMITS.processPauseMs);
  }
}

/** Kills until none is left; false when one hangs in the kernel. */
export async function endAll(run: OurRun): Promise<boolean> {
  const until = performance.now() + LIMITS.moduleOrphanMs;
  for (;;) {
    const found = await processesOf(run);
    if (found.length === 0) return true;
    if (performance.now() > until) return false;
    for (const number of found) kill(number);
    await sleep(LIMITS.processLookMs);
  }
}

function kill(number: number): void {
  try {
    process.kill(number, 'SIGKILL');
  } catch {
    // It ended at this very moment, or runs as another user now, and counts as one that hangs.
  }
}

/** Null for a note that is not there, or names no process. */
export function noteIn(noteFile: string): NotedRun | null {
  const [number = '', name = ''] = textOf(noteFile).trim().split(' ');
  const leader = Number(number);
  if (!Number.isSafeInteger(leader) || leader <= 1) return null;
  return { leader, name: name === '' ? null : name };
}

function textOf(noteFile: string): string {
  try {
    return readPlainNow(noteFile).toString('utf8');
  } catch {
    return '';
  }
}

/**
 * The note file of that name; undefined where the root has no folder for it, and where something
 * else stands in its place: a shell would wait for the reader of a FIFO.
 */
export async function noteOf(root: string, name: string): Promise<string | undefined> {
  const kindOf = (path: string) => lstat(path).catch(() => null);
  if ((await kindOf(`${root}/state`)) === null) return undefined;
  const path = `${root}/state/${name}`;
  const found = await kindOf(path);
  return found === null || found.isFile() ? path : undefined;
}

/** Removes the note of a program that has ended. Never rejects. */
export async function forgetNote(note: string | undefined): Promise<void> {
  // A note that stays names a process that is gone.
  if (note !== undefined) await rm(note, { force: true }).catch(() => undefined);
}
