/**
 * The modules of a robot: the executables of the folder that `--modules` names. Each verb is one
 * run, in a process group of its own that is killed whole when it is late. One verb runs in a root
 * at a time: what a killed agent left running is ended before the next begins.
 */

import { lstat, readdir, rm } from 'node:fs/promises';
import { isModuleName } from '../../shared/formats/apply-strategy.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { runForeign, type HookResult } from '../install/hooks.ts';
import { endOrphan } from './orphans.ts';

/** What a verb does is said in docs/modules.md. */
export type Verb = 'probe' | 'stage' | 'switch' | 'verify' | 'confirm' | 'revert' | 'version';

export interface VerbRun {
  readonly module: string;
  readonly verb: Verb;
  readonly timeoutMs: number;
  /** Root of the component: one verb runs in it at a time. */
  readonly root: string;
  readonly env: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** How a verb ended; `stdout` is what it wrote there, the last of it. */
export interface VerbResult {
  readonly result: HookResult;
  readonly stdout: string;
}

export interface Modules {
  /** Modules that are there, as they were last looked at. */
  readonly names: readonly string[];
  /** Looks again which there are. Never rejects. */
  look(): Promise<void>;
  /** Rejects with the reason of the signal only. `absent`: there is no such module. */
  run(run: VerbRun): Promise<VerbResult>;
}

/** Of a robot without `--modules`. */
export const NO_MODULES: Modules = {
  names: [],
  look: () => Promise.resolve(),
  run: () => Promise.resolve({ result: { kind: 'absent' }, stdout: '' }),
};

const STILL_RUNS = 'an earlier run of it does not end';

export class ModuleFolder implements Modules {
  readonly #folder: string;
  #names: readonly string[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  get names(): readonly string[] {
    return this.#names;
  }

  /** Looks which modules there are. A folder that cannot be read has none. */
  async look(): Promise<void> {
    const found = await readdir(this.#folder).catch(() => []);
    this.#names = found.filter(isModuleName).sort().slice(0, LIMITS.modulesMax);
  }

  async run({ module, verb, root, timeoutMs, env, signal }: VerbRun): Promise<VerbResult> {
    // The name comes from a manifest: it must not lead out of the folder.
    if (!isModuleName(module)) throw new TypeError(`module ${module}: no name of a module`);
    const noteFile = `${root}/state/verb`;
    if (!(await endOrphan(noteFile, root))) {
      return { result: { kind: 'busy', output: STILL_RUNS }, stdout: '' };
    }
    let stdout = '';
    const result = await runForeign({
      path: `${this.#folder}/${module}`,
      label: `module ${module}`,
      args: [verb],
      mayBeBusy: verb !== 'version',
      noteFile: (await isThere(`${root}/state`)) ? noteFile : undefined,
      onStdout: (text) => (stdout = text),
      ...{ timeoutMs, env, signal },
    });
    // What had to be killed may not be gone yet: the next run looks.
    if (result.kind !== 'timedOut') await rm(noteFile, { force: true }).catch(() => undefined);
    return { result, stdout };
  }
}

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );
