/**
 * Plans the instants at which an update is killed, as a pure function of a seed, so that a failure
 * can be played again. Half of the kills come at a random instant, the other half a random few
 * milliseconds after a phase began: a swap takes so little time that instants alone would hardly
 * ever hit it.
 */

import type { Phase } from '../../shared/formats/messages.ts';

export type KillMoment =
  /** `fraction` of the time that an update takes, from the announcement or the restart on. */
  | { readonly kind: 'instant'; readonly fraction: number }
  | { readonly kind: 'phase'; readonly phase: Phase; readonly delayMs: number };

export interface Kill {
  readonly moment: KillMoment;
  /** True when `drover-robot recover` runs before the agent, as at a boot. */
  readonly isBoot: boolean;
}

export interface UpdatePlan {
  readonly isHealthy: boolean;
  /** One after the other during one update: the second hits what goes on after the first. */
  readonly kills: readonly Kill[];
}

const KILLS_MAX = 6;
const DELAY_MS_MAX = 25;
const UNHEALTHY = 0.3;
const ONCE_MORE = 0.5;
const BOOT = 0.2;

/** Mulberry32: small, and good enough to spread kills. */
export function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const PHASES_AIMED_AT: readonly Phase[] = [
  'checking',
  'downloading',
  'verifying',
  'staging',
  'waiting',
  'swapping',
  'probation',
];

export function planUpdate(seed: number): UpdatePlan {
  const random = makeRandom(seed);
  const isHealthy = random() >= UNHEALTHY;
  const aims = isHealthy ? PHASES_AIMED_AT : [...PHASES_AIMED_AT, 'rolling_back' as const];
  const kills: Kill[] = [];
  do {
    const isInstant = random() < 0.5;
    const at = random();
    const phase = aims[Math.floor(random() * aims.length)] ?? 'idle';
    const moment: KillMoment = isInstant
      ? { kind: 'instant', fraction: at }
      : { kind: 'phase', phase, delayMs: Math.floor(at * DELAY_MS_MAX) };
    kills.push({ moment, isBoot: random() < BOOT });
  } while (kills.length < KILLS_MAX && random() < ONCE_MORE);
  return { isHealthy, kills };
}
