/**
 * The folders of PATH, in which the agent and the hooks find programs by their names (zstd, sync,
 * journalctl, systemctl, rauc). The agent runs as root as a rule: a user who can write one of these
 * folders chooses what root runs. So a folder that every user may write is left out of PATH for all
 * that this process starts, and so is one that is not absolute, which is another folder for each
 * program. A right of a group, or of another owner, is a warning, as with hooks (safe-paths.ts).
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { printable } from '../../shared/base/printable.ts';
import { judgePath } from '../../shared/io/owned-file.ts';
import { PATH_DEFAULT } from './hooks.ts';

export interface JudgedPath {
  /** PATH without the folders that are left out. */
  readonly kept: string;
  readonly left: readonly Problem[];
  /** One line for people about each folder that is kept, and that a few others may change. */
  readonly warned: readonly string[];
}

/** @param text value of PATH; undefined or empty: the usual folders */
export async function judgeSearchPath(text: string | undefined): Promise<JudgedPath> {
  const folders = new Set((text || PATH_DEFAULT).split(':'));
  const [kept, left, warned]: [string[], Problem[], string[]] = [[], [], []];
  for (const folder of folders) {
    const { others, owner, group } = await judgeFolder(folder);
    if (others) {
      const message = `use PATH without ${printable(folder) || 'its empty entry'}: ${others}`;
      left.push(toProblem(new DroverError('PATH_UNSAFE', message)));
      continue;
    }
    kept.push(folder);
    const some = owner ?? group;
    if (some !== null) warned.push(`folder ${printable(folder)} of PATH: ${some}`);
  }
  if (kept.length > 0 || text === PATH_DEFAULT) return { kept: kept.join(':'), left, warned };
  // An empty PATH would name the current folder.
  return { kept: (await judgeSearchPath(PATH_DEFAULT)).kept || '/bin', left, warned };
}

type Why = Readonly<Record<'others' | 'owner' | 'group', string | null>>;

async function judgeFolder(folder: string): Promise<Why> {
  if (!folder.startsWith('/')) {
    const why = 'it begins at the current folder: set PATH with absolute folders alone';
    return { others: why, owner: null, group: null };
  }
  const { others, owner, group } = await judgePath(folder);
  const words = (found: typeof others): string | null => found && `${found.why}: ${found.mend}`;
  return { others: words(others), owner: words(owner), group: words(group) };
}

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
    const lineOf = ({ message, code }: Problem): string => `${message} (${code})`;
    for (const problem of left) {
      if (this.#lines.includes(lineOf(problem))) continue;
      this.#log.warn({ problem }, 'a folder of PATH is left out');
    }
    for (const reason of warned) {
      if (!this.#lines.includes(reason)) this.#log.warn({ reason }, 'others may change a path');
    }
    this.#lines = [...left.map(lineOf), ...warned];
  }
}
