/**
 * Decides whether the robot may still be taken out of service, from the last POST /ready of each
 * caller. A plain answer is asked for once and then relied on. A lease (`hold_s`) counts while it
 * is renewed: one that lapses before the switch stops it, and after the switch the site decides.
 * Instants are of a monotonic clock, so a wall clock that jumps ends no lease and extends none.
 * Sans-I/O.
 */

import { shortly } from '../../shared/base/durations.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { isId, type MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** The decision of the site about a lease that is lost after the switch. */
export const AFTER_SWITCH = ['stay', 'back'] as const;
export type AfterSwitch = (typeof AFTER_SWITCH)[number];

/** The last POST /ready of one caller. */
export type ReadyAnswer =
  | { readonly kind: 'plain'; readonly ready: boolean; readonly reason: string }
  | { readonly kind: 'lease'; readonly untilMs: MonoMs };

/** The answers by the name of the caller; a caller without a name is `UNNAMED`. */
export type ReadyAnswers = ReadonlyMap<string, ReadyAnswer>;

export const UNNAMED = '';

/** All callers that found no place; no name of a caller is like it. */
export const OTHERS = '*';

/** The answers to POST /ready, as the local API keeps them. */
export interface Leases {
  readonly answers: ReadyAnswers;
  /** Callers that hold by a lease. */
  readonly holders: readonly string[];
  mono(): MonoMs;
}

export type Hold =
  /** No caller said anything that counts. */
  | { readonly kind: 'none' }
  /** No caller says no; `untilMs` is when the first lease lapses, null without a lease. */
  | { readonly kind: 'ready'; readonly untilMs: MonoMs | null }
  | {
      readonly kind: 'no';
      readonly why: 'refused' | 'lapsed' | 'unknown';
      readonly reason: string;
    };

/**
 * One no is enough. A caller that is expected and did not answer is unknown, which counts as no: an
 * agent that was started again does not know how long its lease runs.
 * @param expected callers that use leases
 */
export function decideHold(answers: ReadyAnswers, expected: Iterable<string>, nowMs: MonoMs): Hold {
  let untilMs: MonoMs | null = null;
  let lapsed: string | null = null;
  for (const [caller, answer] of answers) {
    if (answer.kind === 'plain') {
      if (!answer.ready) return { kind: 'no', why: 'refused', reason: refusal(caller, answer) };
      continue;
    }
    if (nowMs >= answer.untilMs) lapsed ??= caller;
    untilMs = Math.min(untilMs ?? answer.untilMs, answer.untilMs);
  }
  if (lapsed !== null) {
    return { kind: 'no', why: 'lapsed', reason: `the ready lease of ${inWords(lapsed)} lapsed` };
  }
  const unknown = [...expected].find((caller) => !answers.has(caller));
  if (unknown !== undefined) {
    const reason = `${inWords(unknown)} holds by a ready lease, and did not renew it since the agent started`;
    return { kind: 'no', why: 'unknown', reason };
  }
  return answers.size === 0 ? { kind: 'none' } : { kind: 'ready', untilMs };
}

/** The leases that run, for a person; null without one. */
export function describeLeases(answers: ReadyAnswers, nowMs: MonoMs): string | null {
  const running = [...answers].flatMap(([caller, answer]) =>
    answer.kind === 'lease' && answer.untilMs > nowMs
      ? [`${inWords(caller)} (${shortly(answer.untilMs - nowMs)} left)`]
      : [],
  );
  return running.length === 0 ? null : `held ready by ${running.join(', ')}`;
}

export interface LeaseFacts {
  /** Callers whose lease the update relies on; empty for none. */
  readonly holders: readonly string[];
  readonly answers: ReadyAnswers;
  /** The new version runs, or the strategy has begun to bring it into effect. */
  readonly isSwitched: boolean;
  readonly afterSwitch: AfterSwitch;
  readonly nowMs: MonoMs;
}

export type LeaseDecision =
  | { readonly kind: 'goOn' }
  /** Before the switch: nothing is switched. After it: the robot goes back. */
  | { readonly kind: 'stop' | 'goBack'; readonly reason: string };

/**
 * Decides about an update that is under way. Before the switch each no counts. After it only those
 * of the holders count: another application may well work again.
 */
export function decideLease(facts: LeaseFacts): LeaseDecision {
  const { holders, answers, isSwitched, afterSwitch, nowMs } = facts;
  if (holders.length === 0 || (isSwitched && afterSwitch === 'stay')) return { kind: 'goOn' };
  const counted = isSwitched
    ? new Map([...answers].filter(([caller]) => holders.includes(caller)))
    : answers;
  const hold = decideHold(counted, holders, nowMs);
  if (hold.kind !== 'no') return { kind: 'goOn' };
  return { kind: isSwitched ? 'goBack' : 'stop', reason: hold.reason };
}

/** @param what the action that the lease was lost for, such as `swap to 1.2.0` */
export const leaseLost = (what: string, reason: string): Problem =>
  toProblem(new DroverError('READY_LEASE_LOST', `${what}: ${reason}`));

function inWords(caller: string): string {
  if (caller === UNNAMED) return 'the application';
  return caller === OTHERS ? 'one of too many callers' : caller;
}

const refusal = (caller: string, { reason }: { readonly reason: string }): string =>
  caller === UNNAMED ? reason : `${inWords(caller)}: ${reason || 'it gave no reason'}`;

/**
 * The content of the mark `state/says-ready`: its presence says that an application uses POST
 * /ready, its content names the callers that hold by a lease. It is empty without any, as in 0.1.
 */
export function encodeReadyMark(holders: Iterable<string>): string {
  const names = [...holders].sort();
  return names.length === 0 ? '' : `${JSON.stringify({ holders: names })}\n`;
}

/** Stands for a content that the disk did not give back. */
export const UNREAD_MARK = '?';

/** A content that cannot be read counts as a lease of the caller without a name. */
export function holdersOfMark(text: string): readonly string[] {
  if (text === '') return [];
  try {
    const { holders } = JSON.parse(text) as { holders?: unknown };
    const isWhole = Array.isArray(holders) && holders.length <= LIMITS.readyHoldersMax;
    if (isWhole && holders.every(isHolder)) return holders;
  } catch {
    // Damaged, as below.
  }
  return [UNNAMED];
}

const isHolder = (name: unknown): name is string =>
  typeof name === 'string' && (name === UNNAMED || isId(name));
