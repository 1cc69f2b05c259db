/**
 * The modules of a robot: the executables in the folder of `--modules`. A verb has ended when each
 * process that it started has ended, also those in a group or session of their own, and all of them
 * are killed at the time-out. Only one verb runs in a root at a time: a verb that a killed agent
 * left running is ended before the next one starts.
 */

import { access, constants, readdir, stat } from 'node:fs/promises';
import { isModuleName } from '../../shared/formats/apply-strategy.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { runForeign, type HookResult } from '../install/hooks.ts';
import { awaitRest, endOrphan, forgetNote, noteIn, noteOf } from './orphans.ts';
import { nameRun, RUN_VARIABLE } from './processes.ts';

/** Verbs of a module; documented in docs/modules.md. */
export type Verb = 'probe' | 'stage' | 'switch' | 'verify' | 'confirm' | 'revert' | 'version';

export interface VerbRun {
  readonly module: string;
  readonly verb: Verb;
  readonly timeoutMs: number;
  /** Root of the component: one verb runs in it at a time. */
  readonly root: string;
  readonly env: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  readonly onOutput?: ((label: string, text: string) => void) | undefined;
}

/** Result of a verb; `stdout` is the last part of its standard output. */
export interface VerbResult {
  readonly result: HookResult;
  readonly stdout: string;
}

export interface Modules {
  /** Modules that the last reading of the folder found. */
  readonly names: readonly string[];
  /** Reads the folder again. Never rejects. */
  look(): Promise<void>;
  /** Looks for a program now: a module may be put there, or removed, at any time. */
  has(module: string): Promise<boolean>;
  /**
   * Runs a verb; the result is `absent` when there is no such module. Rejects only with the reason
   * of the signal.
   */
  run(run: VerbRun): Promise<VerbResult>;
}

/** Modules of a robot without `--modules`. */
export const NO_MODULES: Modules = {
  names: [],
  look: () => Promise.resolve(),
  has: () => Promise.resolve(false),
  run: () => Promise.resolve({ result: { kind: 'absent' }, stdout: '' }),
};

const STILL_RUNS = 'an earlier run of it does not end';
const LEFT_BEHIND =
  'it ended, and what it started in the background did not: wait for it, or start a service as docs/modules.md says';

export class ModuleFolder implements Modules {
  readonly #folder: string;
  #names: readonly string[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  get names(): readonly string[] {
    return this.#names;
  }

  /** Reads the folder. A folder that cannot be read has no modules. */
  async look(): Promise<void> {
    const found = await readdir(this.#folder).catch(() => []);
    this.#names = found.filter(isModuleName).sort().slice(0, LIMITS.modulesMax);
  }

  async has(module: string): Promise<boolean> {
    if (!isModuleName(module)) return false;
    const path = `${this.#folder}/${module}`;
    return await Promise.all([stat(path), access(path, constants.X_OK)]).then(
      ([found]) => found.isFile(),
      () => false,
    );
  }

  async run({
    module,
    verb,
    root,
    timeoutMs,
    env,
    signal,
    onOutput,
  }: VerbRun): Promise<VerbResult> {
    // The name comes from a manifest: it must not lead out of the folder.
    if (!isModuleName(module)) throw new TypeError(`module ${module}: no name of a module`);
    const noteFile = `${root}/state/verb`;
    if (!(await endOrphan(noteFile, root))) {
      return { result: { kind: 'busy', output: STILL_RUNS }, stdout: '' };
    }
    const until = performance.now() + timeoutMs;
    const [name, note] = [await nameRun(), await noteOf(root, 'verb')];
    let stdout = '';
    const running = runForeign({
      path: `${this.#folder}/${module}`,
      label: `module ${module}`,
      args: [verb],
      onOutput: onOutput && ((label, text) => onOutput(`${label} ${verb}`, text)),
      mayBeBusy: verb !== 'version',
      stdoutBytesMax: verb === 'version' ? LIMITS.moduleVersionBytesMax : undefined,
      noteFile: note,
      onStdout: (text) => (stdout = text),
      env: { ...env, [RUN_VARIABLE]: name },
      ...{ timeoutMs, signal },
    });
    const rest = async (): Promise<boolean> => {
      const noted = { leader: 0, ...noteIn(noteFile), name };
      return await awaitRest(noted, { root, until, signal });
    };
    const ended = await running.catch(async (reason: unknown) => {
      await rest(); // only its group was killed, and a tool may have another
      throw reason;
    });
    const isWhole = await rest();
    const isTold = isWhole || ended.kind === 'timedOut';
    const result: HookResult = isTold ? ended : { kind: 'timedOut', output: LEFT_BEHIND };
    // A killed process may still be ending, so the note stays and the next run checks it.
    if (result.kind !== 'timedOut') await forgetNote(note);
    return { result, stdout };
  }
}
