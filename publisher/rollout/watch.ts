/**
 * `rollout watch`: polls until a rollout is over. A broker that restarts does not end it, because
 * its retained messages are there again afterwards. A wrong address ends it at once.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../shared/base/backoff.ts';
import { CATALOGUE, type ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { oneLine, printable } from '../../shared/base/printable.ts';
import { parseRollout, type RolloutAnswer } from './rollout-answer.ts';
import { statusWord, waitsFor } from '../../shared/rules/rollout-words.ts';
import { endOf } from './rollout-report.ts';
import type { ApiClient } from './api-client.ts';

export interface WatchJob {
  readonly api: ApiClient;
  readonly id: string;
  readonly path: string;
  /** Null for no time-out. */
  readonly timeoutMs: number | null;
  /** False ends the watch: the reader has left. */
  isWanted(): boolean;
  /** Called at every poll, with the answer as it came. */
  show(rollout: RolloutAnswer, raw: Uint8Array): void;
  /** Called once when the broker goes away and once when it is back. */
  note(line: string): void;
}

/**
 * @throws DroverError ROLLOUT_HALTED, WATCH_TIMEOUT, NOT_FOUND, or any refusal of the first poll
 */
export async function watchRollout(job: WatchJob): Promise<void> {
  const startedMs = performance.now();
  let isUp: boolean | null = null;
  let attempt = 0;
  let last = 'never seen';
  while (job.isWanted()) {
    let rollout: RolloutAnswer | null = null;
    try {
      const raw = await job.api.get(job.path);
      rollout = parseRollout(raw);
      if (isUp === false) job.note('the broker answers again');
      isUp = true;
      attempt = 0;
      last = `it is ${statusWord(rollout)}`;
      job.show(rollout, raw);
    } catch (error) {
      if (isUp === null || !isPassing(error)) throw error;
      if (isUp) job.note(`${error.message}; trying again until it answers`);
      isUp = false;
      attempt += 1;
    }
    // Outside of the try: the end of a rollout is no unreachable broker.
    if (rollout !== null && hasEnded(rollout)) return;
    await pause({ ...job, startedMs, attempt, last });
  }
}

/** @throws DroverError ROLLOUT_HALTED, ROLLOUT_NO_EFFECT, ROLLOUT_SUPERSEDED, ROLLOUT_ROBOTS_UNABLE, NOT_FOUND */
function hasEnded(rollout: RolloutAnswer): boolean {
  const end = endOf(rollout);
  if (end === 'complete' || end === null) return end === 'complete';
  const { code, why, hint } = endings(rollout)[end]();
  const what = `watch rollout ${rollout.id.slice(0, 64)}`;
  throw new DroverError(code, `${what}: ${why}`, hint ? { hint } : hintFor(code, rollout.id));
}

interface Ending {
  readonly code: ErrorCode;
  readonly why: string;
  /** Without it the hint of the code applies. */
  readonly hint?: string;
}

type End = Exclude<NonNullable<ReturnType<typeof endOf>>, 'complete'>;

/** The failures of `watch`, one for each end that is no success. */
function endings(rollout: RolloutAnswer): Record<End, () => Ending> {
  const waits = (): string => `waits ${waitsFor(rollout, Number.POSITIVE_INFINITY)}`;
  const code = 'ROLLOUT_ROBOTS_UNABLE';
  return {
    halted: () => stopOf(rollout),
    unable: () => ({
      ...{ code, why: `it goes no further: ${waits()}` },
      ...(!rollout.run && { hint: UNLED }),
    }),
    cannot_go_back: () => ({
      ...{ code, why: `it goes back no further: ${waits()}`, hint: NO_WAY_BACK },
    }),
    no_effect: () => {
      const reasons = (rollout.run?.reasons ?? rollout.reasons).map((one) => oneLine(one, 500));
      const because = reasons.length > 0 ? `: ${reasons.join('; ')}` : '';
      return { code: 'ROLLOUT_NO_EFFECT', why: `it is over and no robot runs it${because}` };
    },
    superseded: () => {
      const by = printable(rollout.run?.superseded_by ?? 'another rollout', 64);
      return {
        ...{ code: 'ROLLOUT_SUPERSEDED', why: `it was superseded by ${by}` },
        hint: `watch the one that took its place: drover rollout watch ${by}`,
      };
    },
    withdrawn: () => ({ code: 'NOT_FOUND', why: 'it is no longer announced' }),
  };
}

/** A gate that stopped it asks for a fix; a person who did has a reason of their own. */
function stopOf(rollout: RolloutAnswer): Ending {
  const [reason] = rollout.run?.reasons ?? rollout.reasons;
  const because = reason === undefined ? '' : `: ${printable(reason, 500)}`;
  const ending = { code: 'ROLLOUT_HALTED', why: `it is ${statusWord(rollout)}${because}` } as const;
  const isByGate = rollout.run?.gate?.kind === 'halt';
  return rollout.run === null || isByGate ? ending : { ...ending, hint: stoppedBy(rollout.id) };
}

const stoppedBy = (id: string): string =>
  `drover rollout history ${printable(id, 64)} says who stopped it and why; no robot takes it any more, so for another try publish a higher version`;

/** It cannot be aborted here. */
const UNLED =
  'drover fleet robots says what is wrong with each; one that is mended takes it by itself, for those that failed publish a fixed version';

const NO_WAY_BACK =
  'they keep the version that they have: publish a fixed version; drover fleet robots says what is wrong with each, and one that is mended goes back by itself where it has a release to go back to';

const isPassing = (error: unknown): error is DroverError =>
  error instanceof DroverError && error.retry !== 'never';

/** The command to type, with the id. */
const hintFor = (code: ErrorCode, id: string): { hint: string } => ({
  hint: CATALOGUE[code].hint.replaceAll(/\bID\b/g, () => printable(id, 64)),
});

interface Pause {
  readonly id: string;
  readonly timeoutMs: number | null;
  readonly startedMs: number;
  readonly attempt: number;
  readonly last: string;
}

async function pause({ id, timeoutMs, startedMs, attempt, last }: Pause): Promise<void> {
  const bounds = { minMs: LIMITS.watchIntervalMs, maxMs: LIMITS.watchRetryMsMax };
  const waitMs =
    attempt === 0 ? LIMITS.watchIntervalMs : backoffMs(attempt - 1, bounds, Math.random());
  const leftMs =
    timeoutMs === null ? Number.POSITIVE_INFINITY : startedMs + timeoutMs - performance.now();
  if (leftMs <= 0) {
    const what = `watch rollout: not over within --timeout (${last})`;
    throw new DroverError('WATCH_TIMEOUT', what, hintFor('WATCH_TIMEOUT', id));
  }
  await sleep(Math.min(waitMs, leftMs));
}
