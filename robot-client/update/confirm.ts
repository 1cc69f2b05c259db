/**
 * The stage confirm: starts the new version and watches its health until it is good, bad, or out of
 * time. One good answer proves little for an application that alternates: several in a row are
 * required. Without a `health` hook, a successful start is the only evidence. The application may
 * also confirm by itself over the local socket.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { describeHook, hookFailure, type HookResult } from '../install/hooks.ts';
import { aboutStrategy, type OnTrial } from './probation.ts';

/** Exit code of a `health` hook that knows it will not get better (EX_SOFTWARE of sysexits.h). */
const HEALTH_GIVE_UP_EXIT = 70;
/** Probes that a probation has room for at least. */
const PROBES_MIN = 4 * LIMITS.healthSuccessesMin;

export type Outcome =
  { readonly kind: 'healthy' } | { readonly kind: 'unhealthy'; readonly problem: Problem };

export interface ConfirmInput {
  readonly version: string;
  /** `apply_strategy` of the release. */
  readonly strategy: string;
  readonly healthTimeoutMs: number;
  /** Between two probes. */
  readonly healthIntervalMs: number;
  /** One run of a hook. */
  readonly hookTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Resolves at POST /confirm of the application; never otherwise. */
  readonly confirmed: Promise<void>;
  /** Reads again what `active` leads to. */
  readSlot(): Promise<OnTrial>;
  runHook(name: 'start' | 'health', timeoutMs: number): Promise<HookResult>;
}

export async function startAndProbe(input: ConfirmInput): Promise<Outcome> {
  const start = await input.runHook('start', input.hookTimeoutMs);
  if (start.kind !== 'ok' && start.kind !== 'absent') {
    return unhealthy('start', input.version, start);
  }
  const deadline = performance.now() + input.healthTimeoutMs;
  let isConfirmed = false;
  const confirm = (): void => {
    isConfirmed = true;
  };
  input.confirmed.then(confirm, () => undefined); // a promise that rejects confirms nothing
  let last: HookResult | null = null;
  let streak = 0;
  // A short probation is probed more often, so that there is time for a whole streak.
  const everyMs = Math.min(input.healthIntervalMs, Math.ceil(input.healthTimeoutMs / PROBES_MIN));
  const trial = new Trial(input);
  for (;;) {
    input.signal.throwIfAborted();
    const isSaid = isConfirmed;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0 && !isSaid) return tooLate(input, last);
    if (!isSaid) {
      last = await input.runHook('health', Math.min(leftMs, input.hookTimeoutMs));
      streak = last.kind === 'ok' ? streak + 1 : 0;
    }
    // Last before a verdict: the answer is about what runs, which may be another version by now.
    const away = await trial.away();
    if (away) return { kind: 'unhealthy', problem: away };
    if (!trial.runs) streak = 0;
    const isGood = isSaid || last?.kind === 'absent' || streak >= LIMITS.healthSuccessesMin;
    if (isGood && trial.runs) return { kind: 'healthy' };
    if (leftMs <= 0) return tooLate(input, last);
    if (last?.kind === 'failed' && last.exitCode === HEALTH_GIVE_UP_EXIT) {
      const message = `confirm ${input.version}: the health check gave up: ${describeHook(last)}`;
      return failed('HEALTH_FAILED', message, input);
    }
    await sleep(everyMs, undefined, { signal: input.signal });
  }
}

/** Checks that the version on probation is still the active one. */
class Trial {
  readonly #input: ConfirmInput;
  #wasGone = false;
  runs = false;

  constructor(input: ConfirmInput) {
    this.#input = input;
  }

  /**
   * Why it is not; null while it is, or when that is unknown. A link may be about to be replaced.
   */
  async away(): Promise<Problem | null> {
    const found = await this.#input.readSlot();
    this.runs = found.kind === 'runs';
    const isGone = found.kind === 'gone';
    const isFirst = isGone && !this.#wasGone;
    this.#wasGone = isGone;
    return isFirst || !('problem' in found) ? null : found.problem;
  }
}

function failed(
  code: 'HEALTH_FAILED' | 'HEALTH_DEADLINE',
  message: string,
  { strategy }: ConfirmInput,
): Outcome {
  return { kind: 'unhealthy', problem: aboutStrategy(new DroverError(code, message), strategy) };
}

function tooLate(input: ConfirmInput, last: HookResult | null): Outcome {
  const seconds = input.healthTimeoutMs / 1000;
  // The hook may be repaired at any time, so it is asked to the end; no version failed here.
  if (last?.kind === 'failed' && last.code) {
    const what = `confirm ${input.version}: its health is not known`;
    return { kind: 'unhealthy', problem: toProblem(hookFailure(last, last.code, what)) };
  }
  const flaps = last?.kind === 'ok' ? ', though at times it was' : '';
  const words = last ? `; last health probe: ${describeHook(last)}` : '';
  const message = `confirm ${input.version}: not healthy within ${seconds} s${flaps}${words}`;
  return failed('HEALTH_DEADLINE', message, input);
}

function unhealthy(hook: string, version: string, result: HookResult): Outcome {
  const code = result.kind === 'timedOut' ? 'HOOK_TIMED_OUT' : 'HOOK_FAILED';
  const failure = hookFailure(result, code, `run hook ${hook} of ${version}`);
  return { kind: 'unhealthy', problem: toProblem(failure) };
}
