/**
 * Watches the rights to change programs that the agent runs, keys that it trusts and folders of its
 * roots. It checks them at the start and with each heartbeat, so that the fleet and a person at the
 * robot see a problem before an update needs them; an update checks once more before it begins.
 */

import { existsSync } from 'node:fs';
import { DroverError, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { Log } from '../../shared/base/ports.ts';
import { warnIfOpen } from '../../shared/io/key-file.ts';
import { layoutOf } from '../install/layout.ts';
import {
  hookPaths,
  judgeGuarded,
  rootPaths,
  type GuardedPath,
  type PathVerdict,
} from '../install/safe-paths.ts';
import { leftOut, type SearchPath } from '../install/search-path.ts';
import type { ComponentView, Held } from './report.ts';

export interface OwnerWatchOptions {
  readonly roots: readonly { readonly component: string; readonly root: string }[];
  readonly hooksFolder: string;
  /** File of the trust root that the command line names; left out where it came from elsewhere. */
  readonly trustFile?: string | undefined;
  /** More programs that the agent runs: its modules, and those of the boot side. */
  readonly programs?: (() => readonly GuardedPath[]) | undefined;
  /** Private keys of the link: a warning says when others may read them. */
  readonly secretFiles?: readonly string[] | undefined;
  /** Folders in which programs are found by their names; left out where they are not watched. */
  readonly searchPath?: SearchPath | undefined;
  readonly log: Log;
  /** The wall clock; default `Date.now`. */
  readonly now?: (() => EpochMs) | undefined;
  /** A fact in the report has changed. */
  onChange(): void;
}

/** An unsafe path of one component; with a null name it concerns all of them. */
type Exposed = Held & { readonly component: string | null };

export class OwnerWatch {
  readonly #options: OwnerWatchOptions;
  #exposed: readonly Exposed[] = [];
  #searched: Held | null = null;
  #warned: readonly string[] = [];
  #isLooking = false;

  constructor(options: OwnerWatchOptions) {
    this.#options = options;
  }

  /** Lines for a person about PATH, and about what a group, or the owner of a root, may change. */
  get warned(): readonly string[] {
    return [...(this.#options.searchPath?.lines ?? []), ...this.#warned];
  }

  /** Checks all paths, and logs new problems. Never twice at once: a disk may not answer. */
  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const { roots, programs = () => [], searchPath } = this.#options;
      await searchPath?.look();
      this.#noteSearched(searchPath ? leftOut() : null);
      const forAll = await judgeAll([...this.#common, ...programs()]);
      const exposed = this.#heldOf(forAll, null);
      const warned = [...warnedOf(forAll), ...this.#openSecrets()];
      for (const { component } of roots) {
        const found = await judgeAll(this.#rootOf(component));
        exposed.push(...this.#heldOf(found, component));
        warned.push(...warnedOf(found));
      }
      this.#note(exposed, [...new Set(warned)]);
    } finally {
      this.#isLooking = false;
    }
  }

  /**
   * Asserts that an update of a component may begin.
   * @throws DroverError PROGRAM_UNSAFE, TRUST_UNSAFE, ROOT_UNSAFE
   */
  async assertOwn(component: string): Promise<void> {
    await this.look(); // a repaired path is no longer reported
    const [found] = refusedOf(await judgeAll([...this.#common, ...this.#rootOf(component)]));
    if (found) throw new DroverError(found.code, found.message);
  }

  /** Adds to each component why none of its updates begins, and what its hooks may not find. */
  over(views: readonly ComponentView[]): ComponentView[] {
    return views.map((view) => {
      const found = this.#exposed.find(
        ({ component }) => component === null || component === view.name,
      );
      const searched = this.#searched && { searched: this.#searched };
      return { ...view, ...(found && { exposed: found }), ...searched };
    });
  }

  get #common(): readonly GuardedPath[] {
    const { hooksFolder, trustFile } = this.#options;
    const trust = { path: trustFile ?? '', label: 'trust.json', code: 'TRUST_UNSAFE' } as const;
    return [...hookPaths(hooksFolder), ...(trustFile === undefined ? [] : [trust])];
  }

  #openSecrets(): string[] {
    const lines: string[] = [];
    for (const path of this.#options.secretFiles ?? []) {
      if (existsSync(path)) warnIfOpen(path, (line) => lines.push(line));
    }
    return lines;
  }

  #rootOf(component: string): readonly GuardedPath[] {
    const root = this.#options.roots.find((one) => one.component === component)?.root;
    if (root === undefined) return [];
    const { releases, staging, state, seals, bases } = layoutOf(root);
    return rootPaths(component, [root, releases, staging, state, seals, bases]);
  }

  #heldOf(found: readonly PathVerdict[], component: string | null): Exposed[] {
    return refusedOf(found).map((problem) => {
      const before = this.#exposed.find((one) => one.problem.message === problem.message);
      return { component, problem, atMs: before?.atMs ?? (this.#options.now ?? Date.now)() };
    });
  }

  #noteSearched(problem: Problem | null): void {
    if (problem?.message === this.#searched?.problem.message) return;
    this.#searched = problem && { problem, atMs: (this.#options.now ?? Date.now)() };
    this.#options.onChange();
  }

  #note(exposed: readonly Exposed[], warned: readonly string[]): void {
    const { log } = this.#options;
    for (const { problem } of exposed) {
      const isKnown = this.#exposed.some((one) => one.problem.message === problem.message);
      if (!isKnown) log.warn({ problem }, 'another user may change what this agent runs');
    }
    for (const line of warned) {
      if (!this.#warned.includes(line)) log.warn({ reason: line }, 'others may change a path');
    }
    const isSame = exposed.map(wordsOf).join() === this.#exposed.map(wordsOf).join();
    [this.#exposed, this.#warned] = [exposed, warned];
    if (!isSame) this.#options.onChange();
  }
}

const wordsOf = ({ component, problem }: Exposed): string => `${component}: ${problem.message}`;

const judgeAll = (paths: readonly GuardedPath[]): Promise<PathVerdict[]> =>
  Promise.all(paths.map(judgeGuarded));

/** One for each reason: the folder of five hooks is one. */
function refusedOf(found: readonly PathVerdict[]): (Problem & PathVerdict['refused'] & object)[] {
  const all = found.flatMap(({ refused }) => refused ?? []);
  const reasonOf = ({ message }: Problem): string => message.slice(message.indexOf(': '));
  return all.filter(
    (one, at) => all.findIndex((other) => reasonOf(other) === reasonOf(one)) === at,
  );
}

const warnedOf = (found: readonly PathVerdict[]): string[] =>
  found.flatMap(({ warned }) => warned ?? []);
