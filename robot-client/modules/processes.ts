/**
 * Finds the processes of one run of a verb, of a `stop` hook or of a boot program. A tool may give
 * itself a process group (`timeout`) or a session (`setsid`), so the group of the run does not have
 * them all. Each inherits a variable with the unique name of the run, which /proc shows. A program
 * that clears its environment and leaves the session as well is not found.
 */

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../shared/base/limits.ts';

/** Variable with the name of the run. */
export const RUN_VARIABLE = 'DROVER_RUN';

/** A run, as its note has it. */
export interface NotedRun {
  /** Process that leads the group and the session of the run. */
  readonly leader: number;
  /** Null in the note of an agent of before this name. */
  readonly name: string | null;
}

export interface OurRun extends NotedRun {
  /** Each of its processes has it as `DROVER_ROOT`; null for a run that concerns no root. */
  readonly root: string | null;
  /** Beginning of a variable that each of its processes has besides. */
  readonly marker: string;
  /**
   * True while this agent has seen the leader end just now: its number cannot belong to another
   * program yet, so its group and session count without the variable.
   */
  readonly isFresh: boolean;
  /** True to leave out what has a session of its own: a daemon has one, and lives on. */
  readonly isSessionOnly?: boolean;
}

interface Seen {
  readonly number: number;
  readonly group: number;
  readonly session: number;
}

/** Field of /proc/PID/stat behind the name, counted from the state of the process. */
const FIELD = { state: 0, group: 2, session: 3, flags: 6, start: 19 } as const;
const KERNEL_THREAD = 0x200000; // PF_KTHREAD
const TICKS_PER_S = 100; // of /proc/PID/stat, on all machines that Node runs on

/** A name that no other run has. It begins with the time, so that older processes are passed. */
export async function nameRun(): Promise<string> {
  const uptime = Number.parseFloat(await readFile('/proc/uptime', 'utf8').catch(() => '0'));
  return `${Math.max(0, Math.floor(uptime * TICKS_PER_S) - 1)}.${randomUUID()}`;
}

/**
 * The processes of a run that live now. The list is read again when the answer may be wrong: a
 * process has just ended, or was about to start a program.
 */
export async function processesOf(run: OurRun): Promise<readonly number[]> {
  for (let nth = 1; ; nth += 1) {
    const { found, isUnsure } = await look(run);
    if (found.length > 0 || !isUnsure || nth >= LIMITS.processLooksMax) return found;
    await sleep(LIMITS.processLookMs);
  }
}

async function look(
  run: OurRun,
): Promise<{ readonly found: readonly number[]; readonly isUnsure: boolean }> {
  const { recent, hasMissed } = await recentOf(run);
  const marked: Seen[] = [];
  const others: Seen[] = [];
  let isUnsure = hasMissed;
  for (const seen of recent) {
    const environment = await environmentOf(seen.number);
    if (environment === '') isUnsure = true;
    (isMarked(environment, run) ? marked : others).push(seen);
  }
  const sessions = new Set(run.name === null ? [] : marked.map(({ session }) => session));
  // In a container a group or session from outside of it has number 0.
  const isLed = ({ group, session }: Seen): boolean =>
    run.leader > 0 && [group, session].includes(run.leader);
  const isOurs = (seen: Seen): boolean =>
    (run.isSessionOnly !== true && sessions.has(seen.session)) || (run.isFresh && isLed(seen));
  const named = run.isSessionOnly === true ? marked.filter(isLed) : marked;
  const found = [...named, ...others.filter(isOurs)].map(({ number }) => number);
  return { found, isUnsure };
}

/** Processes that began with the run or later: of the others not even the environment is read. */
async function recentOf({
  name,
  leader,
}: NotedRun): Promise<{ readonly recent: readonly Seen[]; readonly hasMissed: boolean }> {
  const since = Number.parseInt(name ?? '0', 10);
  const recent: Seen[] = [];
  let hasMissed = false;
  const numbers = (await readdir('/proc')).filter((one) => /^\d+$/.test(one));
  for (const [nth, number] of numbers.entries()) {
    if (nth % LIMITS.processBatch === 0) await breathe();
    const stat = statOf(number);
    if (stat === null) hasMissed = true;
    const fields = fieldsOf(stat ?? '');
    if (fields === null || fields.start < since) continue;
    const { group, session } = fields;
    if (name !== null || group === leader) recent.push({ number: Number(number), group, session });
  }
  return { recent, hasMissed };
}

/** Null for one that has just ended. No disk is read: to wait for it would take four times more. */
function statOf(number: string): string | null {
  try {
    return readFileSync(`/proc/${number}/stat`, 'latin1');
  } catch {
    return null;
  }
}

/** Empty for a process that has just ended, or is in the middle of an exec. */
async function environmentOf(number: number): Promise<string> {
  return await readFile(`/proc/${number}/environ`, 'utf8').catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    return code === 'EACCES' || code === 'EPERM' ? 'of another user' : '';
  });
}

function isMarked(environment: string, { root, marker, name }: OurRun): boolean {
  const words = environment.split('\0');
  if (root !== null && !words.includes(`DROVER_ROOT=${root}`)) return false;
  if (name !== null && !words.includes(`${RUN_VARIABLE}=${name}`)) return false;
  return words.some((one) => one.startsWith(marker));
}

/**
 * Null for a process that has ended, or is of the kernel. The name of the program stands in
 * brackets and may have any bytes.
 */
function fieldsOf(
  stat: string,
): { readonly group: number; readonly session: number; readonly start: number } | null {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[FIELD.state] ?? '';
  if (state === '' || 'ZX'.includes(state)) return null;
  if ((Number(fields[FIELD.flags]) & KERNEL_THREAD) !== 0) return null;
  const [group, session] = [Number(fields[FIELD.group]), Number(fields[FIELD.session])];
  return { group, session, start: Number(fields[FIELD.start]) };
}
