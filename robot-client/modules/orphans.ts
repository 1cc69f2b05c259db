/**
 * Ends the processes of a verb, or of a `stop` hook, whose agent was killed: two runs of one module
 * must not work on the same board at once. The note file has the number of the process group. If
 * the number belongs to another program by now, its environment shows that.
 */

import { lstat, readdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../shared/base/limits.ts';
import { killGroup } from '../install/hooks.ts';

const LOOK_MS = 20;
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
  const group = await groupIn(noteFile);
  if (group === null) return true;
  const until = performance.now() + LIMITS.moduleOrphanMs;
  while (await isAlive(group, { root, marker })) {
    if (performance.now() > until) return false;
    killGroup(group);
    await sleep(LOOK_MS);
  }
  return true;
}

/**
 * Waits for what a verb left running in its process group: a write to a device that goes on in the
 * background would meet the next verb. What runs at the time-out is killed.
 * @returns false when something was killed
 * @throws the reason of the signal; what ran is killed then
 */
export async function awaitGroup(
  noteFile: string,
  on: { readonly root: string; readonly until: number; readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  const group = await groupIn(noteFile);
  if (group === null) return true;
  const ours = { root: on.root, marker: VERB_MARKER };
  while (hasMembers(group) && (await isAlive(group, ours))) {
    const isLate = performance.now() > on.until;
    if (isLate || on.signal?.aborted === true) killGroup(group);
    on.signal?.throwIfAborted();
    if (isLate) return false;
    await sleep(LOOK_MS);
  }
  return true;
}

/** Null for a note that is not there, or names no group. */
async function groupIn(noteFile: string): Promise<number | null> {
  const group = Number(await readFile(noteFile, 'utf8').catch(() => ''));
  return Number.isSafeInteger(group) && group > 1 ? group : null;
}

/** Answers for most verbs, so that nobody has to read the list of all processes. */
function hasMembers(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

/** The note file of that name; undefined where the root has no folder for it. */
export async function noteOf(root: string, name: string): Promise<string | undefined> {
  const isThere = await lstat(`${root}/state`).then(
    () => true,
    () => false,
  );
  return isThere ? `${root}/state/${name}` : undefined;
}

/** Removes the note of a program that has ended. Never rejects. */
export async function forgetNote(note: string | undefined): Promise<void> {
  // A note that stays names a process that is gone.
  if (note !== undefined) await rm(note, { force: true }).catch(() => undefined);
}

async function isAlive(
  group: number,
  { root, marker }: { readonly root: string; readonly marker: string },
): Promise<boolean> {
  const numbers = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  for (const number of numbers) {
    const stat = await readFile(`/proc/${number}/stat`, 'utf8').catch(() => '');
    if (groupOf(stat) !== group) continue;
    const environment = await readFile(`/proc/${number}/environ`, 'utf8').catch(() => '');
    const words = environment.split('\0');
    if (words.includes(`DROVER_ROOT=${root}`) && words.some((one) => one.startsWith(marker))) {
      return true;
    }
  }
  return false;
}

/**
 * Number of the process group in /proc/PID/stat. The name of the program stands in brackets there
 * and may have any bytes.
 */
function groupOf(stat: string): number {
  const [, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(group);
}
