/**
 * Strategy `module/<name>`: a module of the robot does each step as one verb. A verb that ends with
 * 0 has completed its work durably. The agent still asks the module for its `version` before it
 * relies on that.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { PatchProgram } from '../../shared/base/ports.ts';
import { printable } from '../../shared/base/printable.ts';
import { base64ToBytes } from '../../shared/crypto/bytes.ts';
import { moduleStrategy, fitsMachine } from '../../shared/formats/apply-strategy.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { SystemSide } from '../boot/system-side.ts';
import { describeHook, hookFailure, type HookResult } from '../install/hooks.ts';
import type { Disk } from '../install/disk-port.ts';
import { moduleFolder, releaseFolder, type Layout } from '../install/layout.ts';
import { readSlots } from '../install/read-slots.ts';
import { versionOf } from '../install/slots.ts';
import { readStrategy } from '../install/strategy-file.ts';
import { NO_MODULES, type Modules, type Verb, type VerbResult } from '../modules/module-folder.ts';
import type { SelfSide } from '../self/self-side.ts';
import type { ApplyStrategy, RunsNow, ApplyTarget } from './apply-strategy.ts';
import { whyNotWhole } from './assert-swappable.ts';

/** Places and ports that the strategies of a component work with. */
export interface ModuleContext {
  readonly component: string;
  readonly layout: Layout;
  readonly disk: Disk;
  /** The system slots of this machine; left out when the component has none. */
  readonly system?: SystemSide | undefined;
  /** The component that the slots of this machine are for; left out without slots. */
  readonly image?: { readonly component: string } | undefined;
  /** Null on a robot without one: it takes the deltas that need none. */
  readonly patchProgram?: PatchProgram | null | undefined;
  /** This process as a release of the component; left out for every other component. */
  readonly self?: SelfSide | undefined;
  /** When it is left out, the robot has no modules. */
  readonly modules?: Modules | undefined;
  /**
   * Time-out of one run of `stage`, `switch`, `confirm` or `revert`; default
   * `moduleTimeoutMsDefault`.
   */
  readonly moduleTimeoutMs?: number | undefined;
  /** Names of this machine; left out where they are not known. */
  readonly facts?: { readonly compatible?: readonly string[] | undefined } | undefined;
  /** Wait between two attempts in ms; default `healthIntervalMs`. */
  readonly healthIntervalMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The end of all that a hook or a module printed, after each run. */
  readonly onOutput?: ((label: string, text: string) => void) | undefined;
}

const DIFFERS_HINT =
  'it ended with 0 and what runs is another version: mend the module, or the bundle, and publish a higher version';
const MOVED_HINT =
  'the disk, or --compatible, is of another machine: put it back, or publish a bundle for this machine';
const ABSENT: HookResult = { kind: 'absent' };
const ASKS: readonly Verb[] = ['probe', 'version'];

export class ModuleStrategy implements ApplyStrategy {
  readonly #module: string;
  readonly #on: ModuleContext;

  constructor(module: string, on: ModuleContext) {
    this.#module = module;
    this.#on = on;
  }

  /** @throws DroverError MODULE_MISSING, MODULE_UNFIT, MODULE_BUSY, MODULE_TIMED_OUT */
  async check(target: ApplyTarget): Promise<void> {
    await this.#must('probe', await this.#beforeSwap(target), 'MODULE_UNFIT');
  }

  async stage(target: ApplyTarget): Promise<void> {
    await this.#must('stage', await this.#beforeSwap(target));
  }

  /** Hashes the release: a module writes its bytes to hardware, where a wrong bit is not seen. */
  async prepare(target: ApplyTarget, to: string | null): Promise<void> {
    this.#assertThisMachine(target);
    const { modules = NO_MODULES } = this.#on;
    if (!(await modules.has(this.#module))) throw this.#failure('switch', target, ABSENT);
    if (to !== null) await this.#assertWhole(to, `apply ${to}`);
  }

  /**
   * The release is hashed again: a module that wrote into it applied other bytes than were signed.
   * @throws DroverError RELEASE_DAMAGED; MODULE_…, also when the module reports another version
   */
  async switchTo(target: ApplyTarget): Promise<void> {
    await this.#switch(target);
    await this.#assertWhole(target.version, `switch to ${target.version} by ${this.#module}`);
  }

  async #assertWhole(version: string, what: string): Promise<void> {
    const { disk, layout } = this.#on;
    const why = await whyNotWhole(disk, layout, { version, mayHash: () => true });
    if (why !== null) throw new DroverError('RELEASE_DAMAGED', `${what}: ${why}`);
  }

  async #switch(target: ApplyTarget): Promise<void> {
    this.#assertThisMachine(target);
    await this.#must('switch', target);
    await this.#assertRuns(target, target.version);
  }

  /** @throws DroverError as `switchTo` */
  async resume(target: ApplyTarget): Promise<void> {
    const said = await this.#askedTwice(target);
    if (said.kind !== 'version') throw this.#unknown(said);
    if (said.version !== target.version) await this.switchTo(target);
  }

  async verify(target: ApplyTarget, timeoutMs: number): Promise<HookResult> {
    const { result } = await this.#run('verify', target, timeoutMs);
    if (result.kind !== 'absent') return result;
    const output = `module ${this.#module} is gone`;
    return { kind: 'failed', exitCode: null, signal: null, output };
  }

  async confirm(target: ApplyTarget): Promise<void> {
    await this.#assertWhole(target.version, `confirm ${target.version} by ${this.#module}`);
    for (let nth = 1; ; nth += 1) {
      try {
        return await this.#must('confirm', target);
      } catch (thrown) {
        if (nth >= LIMITS.moduleTriesMax || !(thrown instanceof DroverError)) throw thrown;
        await this.#pause();
      }
    }
  }

  async revert(target: ApplyTarget, to: string | null): Promise<void> {
    // No other version can boot, so this one stays, and has to run.
    if (to === target.version) return await this.#switch(target);
    this.#assertThisMachine(target);
    await this.#must('revert', { ...target, previousVersion: to });
    // A release that another strategy applied is unknown to the module, so it cannot report it.
    const { disk, layout } = this.#on;
    const isOurs = to === null || (await readStrategy(disk, layout, to)) === this.#strategy;
    if (isOurs) await this.#assertRuns(target, to);
  }

  async said(target: ApplyTarget): Promise<RunsNow> {
    const { result, stdout } = await this.#run('version', target);
    if (result.kind !== 'ok') {
      const why = result.kind === 'absent' ? 'it is not there' : describeHook(result);
      return { kind: 'unknown', why };
    }
    const version = stdout.trim();
    if (version.length <= LIMITS.versionLengthMax && printable(version) === version) {
      return { kind: 'version', version: version === '' ? null : version };
    }
    const why = `it printed ${printable(version, LIMITS.versionLengthMax)}, which is no version`;
    return { kind: 'unknown', why };
  }

  get #strategy(): string {
    return moduleStrategy(this.#module);
  }

  /**
   * Before the swap the previous version is not stored yet: it is the version that is active now.
   */
  async #beforeSwap(target: ApplyTarget): Promise<ApplyTarget> {
    const active = versionOf((await readSlots(this.#on.disk, this.#on.layout)).active);
    return { version: target.version, previousVersion: active };
  }

  async #assertRuns(target: ApplyTarget, want: string | null): Promise<void> {
    const said = await this.#askedTwice(target);
    if (said.kind !== 'version') throw this.#unknown(said);
    if (said.version === want) return;
    const counts = `(got ${inWords(said.version)}, want ${inWords(want)})`;
    const message = `ask module ${this.#module} what runs ${counts}`;
    throw new DroverError('MODULE_DIFFERS', message, { hint: DIFFERS_HINT });
  }

  /** Asks repeatedly: a module may need some time after a switch before it answers. */
  async #askedTwice(target: ApplyTarget): Promise<RunsNow> {
    for (let nth = 1; ; nth += 1) {
      const said = await this.said(target);
      if (said.kind !== 'unknown' || nth >= LIMITS.moduleTriesMax) return said;
      await this.#pause();
    }
  }

  #unknown(said: RunsNow): DroverError {
    const why = said.kind === 'unknown' ? said.why : 'it does not say';
    return new DroverError('MODULE_UNKNOWN', `ask module ${this.#module} what runs: ${why}`);
  }

  async #pause(): Promise<void> {
    const { healthIntervalMs = LIMITS.healthIntervalMs, signal } = this.#on;
    await sleep(healthIntervalMs, undefined, { signal });
  }

  async #must(verb: Verb, target: ApplyTarget, failed: ErrorCode = 'MODULE_FAILED'): Promise<void> {
    const { result } = await this.#run(verb, target);
    if (result.kind !== 'ok') throw this.#failure(verb, target, result, failed);
  }

  #failure(
    verb: Verb,
    { version }: ApplyTarget,
    result: HookResult,
    failed: ErrorCode = 'MODULE_FAILED',
  ): DroverError {
    const what = `${verb} ${version} by module ${this.#module}`;
    const code = codeOf(result, failed);
    if (result.kind !== 'absent') return hookFailure(result, code, what);
    return new DroverError(code, `${what}: this robot does not have it`);
  }

  /** A disk may have been moved into another machine since the release was taken. */
  #assertThisMachine({ version, manifest }: ApplyTarget): void {
    const { compatible } = this.#on.facts ?? {};
    const want = manifest === undefined ? null : machinesOf(manifest);
    if (want === null || fitsMachine(want, compatible)) return;
    const counts = `(got ${inNames(want)}, want ${inNames(compatible ?? [])})`;
    const message = `apply ${version} by module ${this.#module}: for another machine ${counts}`;
    throw new DroverError('COMPATIBLE_WRONG', message, { hint: MOVED_HINT });
  }

  async #run(
    verb: Verb,
    target: ApplyTarget,
    timeoutMs = this.#timeoutMs(verb),
  ): Promise<VerbResult> {
    const { disk, layout, component, modules = NO_MODULES, signal, onOutput } = this.#on;
    const folder = moduleFolder(layout, this.#module);
    if ((await disk.kind(folder)) === 'absent' && modules !== NO_MODULES) {
      await disk.mkdir(layout.modules);
      await disk.mkdir(folder);
      await disk.syncFolder(layout.modules);
      await disk.syncFolder(layout.root);
    }
    const env = verbEnvironment({ verb, component, layout, folder, timeoutMs, ...target });
    const run = { module: this.#module, verb, root: layout.root, timeoutMs, env, signal };
    return await modules.run({ ...run, onOutput });
  }

  #timeoutMs(verb: Verb): number {
    const longMs = this.#on.moduleTimeoutMs ?? LIMITS.moduleTimeoutMsDefault;
    return ASKS.includes(verb) ? Math.min(longMs, LIMITS.moduleAskMs) : longMs;
  }
}

const inNames = (names: readonly string[]): string => names.join(' or ') || 'no name';

/** Names of the machines that a release is for; null where its manifest is not known. */
function machinesOf(manifest: string): readonly string[] | null {
  return nullIfRefused(() => {
    const bytes = base64ToBytes(manifest);
    return bytes && parseManifest(bytes).compatible;
  });
}

const inWords = (version: string | null): string => version ?? 'nothing';

function codeOf(result: HookResult, failed: ErrorCode): ErrorCode {
  if (result.kind === 'absent') return 'MODULE_MISSING';
  if (result.kind === 'failed' && result.code) return result.code;
  if (result.kind === 'busy') return 'MODULE_BUSY';
  return result.kind === 'timedOut' ? 'MODULE_TIMED_OUT' : failed;
}

interface VerbFacts {
  readonly verb: string;
  readonly component: string;
  readonly layout: Layout;
  /** Folder of the module in the root. */
  readonly folder: string;
  readonly timeoutMs: number;
  readonly version: string;
  /** Version to go back to; null for none. */
  readonly previousVersion: string | null;
}

/** Environment of every verb; documented in docs/modules.md. */
function verbEnvironment(facts: VerbFacts): Record<string, string> {
  const { layout, version, previousVersion: previous } = facts;
  return {
    DROVER_VERB: facts.verb,
    DROVER_COMPONENT: facts.component,
    DROVER_ROOT: layout.root,
    DROVER_VERSION: version,
    DROVER_PAYLOAD_DIR: releaseFolder(layout, version),
    DROVER_PREVIOUS_VERSION: previous ?? '',
    DROVER_PREVIOUS_DIR: previous === null ? '' : releaseFolder(layout, previous),
    DROVER_MODULE_DIR: facts.folder,
    DROVER_TIMEOUT_S: String(Math.max(1, Math.floor(facts.timeoutMs / 1000))),
  };
}
