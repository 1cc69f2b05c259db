/**
 * The folders of PATH, in which the agent and the hooks find programs by their names (zstd, sync,
 * journalctl, systemctl, rauc). The agent runs as root as a rule: a user who can write one of these
 * folders chooses what root runs. So a folder that every user may write is left out of PATH for all
 * that this process starts, and so is one that is not absolute, which is another folder for each
 * program. A right of a group, or of another owner, is a warning, as with hooks (safe-paths.ts). A
 * folder on a disk that does not answer is left out as well: a program of it would never begin.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { printable } from '../../shared/base/printable.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { judgeSearched, type Judged } from '../../shared/io/owned-file.ts';
import { endsWithin } from '../../shared/io/within.ts';
import { isRunnable } from './program-fitness.ts';

/** For a service manager that passes none on. */
export const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface JudgedPath {
  /** PATH without the folders that are left out. */
  readonly kept: string;
  readonly left: readonly Problem[];
  /** One line for people about each folder that is kept, and that a few others may change. */
  readonly warned: string[];
}

interface Judging {
  /** Default `judgeSearched`. */
  judge?(folder: string): Promise<Judged>;
  /** The bound of all answers together. */
  readonly waitMs?: number;
}

/** @param text value of PATH; undefined or empty: the usual folders */
export async function judgeSearchPath(
  text: string | undefined,
  { judge = judgeSearched, waitMs = LIMITS.pathAnswerMs }: Judging = {},
): Promise<JudgedPath> {
  const folders = [...new Set((text || PATH_DEFAULT).split(':'))];
  const [kept, left, warned]: [string[], Problem[], string[]] = [[], [], []];
  const judged = await Promise.all(folders.map((folder) => judgeFolder(folder, judge, waitMs)));
  for (const [at, folder] of folders.entries()) {
    const { others, owner, group, hint } = judged[at] ?? NO_ANSWER;
    if (others) {
      const message = `use PATH without ${printable(folder) || 'its empty entry'}: ${others}`;
      left.push(toProblem(new DroverError('PATH_UNSAFE', message, hint ? { hint } : {})));
      continue;
    }
    kept.push(folder);
    const some = owner ?? group;
    if (some !== null) warned.push(`folder ${printable(folder)} of PATH: ${some}`);
  }
  if (kept.length > 0 || text === PATH_DEFAULT) return { kept: kept.join(':'), left, warned };
  // An empty PATH would name the current folder.
  const usual = await judgeSearchPath(PATH_DEFAULT, { judge, waitMs });
  return { kept: usual.kept || '/bin', left, warned };
}

interface Why extends Readonly<Record<'others' | 'owner' | 'group', string | null>> {
  /** Where that of the code does not fit. */
  readonly hint?: string;
}

const NO_ANSWER: Why = {
  others: 'its disk, or the server behind it, does not answer',
  ...{ owner: null, group: null },
  hint: 'bring the disk or the server of that folder back, or unmount it, or set PATH without that folder (Environment=PATH=… in the unit); the agent leaves it out meanwhile, and looks again by itself',
};

/** Questions that wait for an answer, by the folder. */
const waiting = new Map<string, { readonly answer: Promise<Judged>; isLate: boolean }>();

async function judgeFolder(
  folder: string,
  judge: (folder: string) => Promise<Judged>,
  waitMs: number,
): Promise<Why> {
  if (!folder.startsWith('/')) {
    const why = 'it begins at the current folder: set PATH with absolute folders alone';
    return { others: why, owner: null, group: null };
  }
  const before = waiting.get(folder);
  const asked = before ?? { answer: judge(folder), isLate: false };
  if (before === undefined) {
    waiting.set(folder, asked);
    inTheEnd(asked.answer, () => waiting.delete(folder));
  }
  // One that was late is not waited for again: each program of the boot side would wait for it.
  if (asked.isLate) return NO_ANSWER;
  const isThere = await endsWithin(asked.answer, waitMs);
  // A process that was busy sees the end of the wait before an answer that came long ago.
  if (!isThere) await nextTurn();
  if (!isThere && waiting.get(folder) === asked) {
    asked.isLate = true;
    return NO_ANSWER;
  }
  const { others, owner, group } = await asked.answer;
  const words = (found: typeof others): string | null => found && `${found.why}: ${found.mend}`;
  return { others: words(others), owner: words(owner), group: words(group) };
}

const inTheEnd = (work: Promise<unknown>, then: () => void): void => {
  work.then(then, then);
};

/** As of the last look: PATH is one for the whole process. */
let leftNow: Problem | null = null;

/** A folder that is left out of PATH now; null when none is. */
export const leftOut = (): Problem | null => leftNow;

/** PATH of this process, and of all that it starts. */
export class SearchPath {
  readonly #log: Log;
  readonly #environment: Record<string, string | undefined>;
  /** As the process got it: a folder that is repaired counts again. */
  readonly #given: string | undefined;
  #lines: readonly string[] = [];

  constructor(log: Log, environment: Record<string, string | undefined> = process.env) {
    [this.#log, this.#environment] = [log, environment];
    this.#given = environment['PATH'];
  }

  /** Lines for a person, as of the last look. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Judges each folder, sets PATH, and logs what is new. */
  async look(): Promise<void> {
    const { kept, left, warned } = await judgeSearchPath(this.#given);
    this.#environment['PATH'] = kept;
    [leftNow = null] = left;
    const lineOf = ({ message, code }: Problem): string => `${message} (${code})`;
    for (const problem of left) {
      if (this.#lines.includes(lineOf(problem))) continue;
      this.#log.warn({ problem }, 'a folder of PATH is left out');
    }
    if (left.length > 0 && !(await hasProgram(kept, 'flock'))) {
      warned.push(`program flock is run from the usual folders: ${kept} has none (PATH_UNSAFE)`);
    }
    for (const reason of warned) {
      if (!this.#lines.includes(reason)) this.#log.warn({ reason }, 'others may change a path');
    }
    this.#lines = [...left.map(lineOf), ...warned];
  }
}

async function hasProgram(folders: string, name: string): Promise<boolean> {
  for (const folder of folders.split(':')) {
    if (await isRunnable(`${folder}/${name}`)) return true;
  }
  return false;
}
