/**
 * Tests that stay valid however often they are read (e-processes). Each is a mixture of likelihood
 * ratios against the null hypothesis; by Ville's inequality the chance that it ever reaches 1/alpha
 * under the null is at most alpha. Choice, sources and limits:
 * docs/decisions/0005-gate-statistics.md. Results are finite for every finite input. Sans-I/O.
 */

/** Alternatives, as multiples of the tolerated ratio: from a little worse to catastrophic. */
const RATIOS: readonly number[] = [1.25, 1.5, 1.82, 2.5, 4, 8, 20, 100];
/** Alternatives of a share, as parts of the way from the bound to 1. */
const SHARES: readonly number[] = [0.05, 0.15, 0.3, 0.5, 0.75, 0.95];
/** Alternatives of a rate, as multiples of the bound. */
const RATES: readonly number[] = [1.25, 1.5, 2, 4, 8, 20];

/** Groups that differ more than this in exposure say nothing about each other. */
const ODDS_MAX = 1e9;

/** Events and exposure of both groups in one batch. */
export interface TwoCounts {
  readonly events1: number;
  readonly exposure1: number;
  readonly events0: number;
  readonly exposure0: number;
}

export const startRatioLogs = (): number[] => RATIOS.map(() => 0);

/**
 * Null hypothesis: the rate of group 1 is at most `tolerated` times that of group 0. Given how many
 * events a batch had, each falls into group 1 with a probability that only the exposures and the
 * ratio decide; the base rate drops out. With shares instead of rates (exposure = tasks) the count
 * is hypergeometric, which is below the binomial in convex order, so the test errs on the safe
 * side.
 */
export function addToRatioLogs(
  logs: readonly number[],
  { events1, exposure1, events0, exposure0 }: TwoCounts,
  tolerated: number,
): number[] {
  if (exposure1 <= 0 || exposure0 <= 0) return [...logs];
  const odds = exposure1 / exposure0;
  // Beyond this the logarithms lose their meaning: one absurd report could make them NaN for good.
  if (!(odds > 1 / ODDS_MAX && odds < ODDS_MAX)) return [...logs];
  return RATIOS.map((multiple, at) => {
    const [toOne, toNought] = logRatios(odds, tolerated, tolerated * multiple);
    return (logs[at] ?? 0) + events1 * toOne + events0 * toNought;
  });
}

/** Amounts that one event in group 1, and one in group 0, add to the logarithm. */
function logRatios(odds: number, nought: number, alternative: number): [number, number] {
  const both = Math.log1p(nought * odds) - Math.log1p(alternative * odds);
  return [Math.log(alternative / nought) + both, both];
}

/** Evidence against the null that stored logs hold; never above the largest double. */
export const eValueOf = (logs: readonly number[]): number => Math.exp(logMean(logs));

/** Null hypothesis: a share is at most `bound`. */
export function shareEValue(events: number, total: number, bound: number): number {
  if (total <= 0) return 1;
  if (bound >= 1) return 1;
  const p0 = Math.max(bound, 1e-9);
  return eValueOf(
    SHARES.map((part) => {
      const p = p0 + (1 - p0) * part;
      return events * Math.log(p / p0) + (total - events) * Math.log((1 - p) / (1 - p0));
    }),
  );
}

/** Null hypothesis: a rate is at most `bound` per unit of exposure. */
export function rateEValue(events: number, exposure: number, bound: number): number {
  const rate = Math.max(bound, 1e-9);
  return eValueOf(
    RATES.map((multiple) => events * Math.log(multiple) - (multiple - 1) * rate * exposure),
  );
}

/**
 * How many events at the base rate group 1 needs exposure for, so that a rate `detected` times the
 * other's would have been found. The logarithm is a random walk: its drift over the required
 * distance, less the quantile of its spread.
 */
export function wantedEvents(input: {
  readonly tolerated: number;
  readonly detected: number;
  /** exposure1 / exposure0 */
  readonly odds: number;
  /** E-value at which the test halts. */
  readonly eHalt: number;
  /** Probability of missing it. */
  readonly miss: number;
}): number {
  const { tolerated, odds, eHalt, miss } = input;
  const detected = Math.max(input.detected, tolerated * 1.05);
  const safeOdds = Math.max(odds, 1e-9);
  const [toOne, toNought] = logRatios(safeOdds, tolerated, detected);
  const drift = detected * toOne + toNought / safeOdds;
  const spread = Math.sqrt(detected * toOne ** 2 + toNought ** 2 / safeOdds);
  const distance = Math.log(eHalt) + Math.log(RATIOS.length);
  const quantile = normalQuantile(1 - miss) * spread;
  const root = (quantile + Math.sqrt(quantile ** 2 + 4 * drift * distance)) / (2 * drift);
  return root ** 2;
}

function logMean(logs: readonly number[]): number {
  const top = Math.max(...logs);
  if (!Number.isFinite(top)) return 0;
  const sum = logs.reduce((total, one) => total + Math.exp(one - top), 0);
  return Math.min(700, top + Math.log(sum / logs.length));
}

/**
 * Quantile of the standard normal, for 0.5 < p < 1; Abramowitz and Stegun 26.2.23, error below
 * 5e-4.
 */
function normalQuantile(p: number): number {
  const t = Math.sqrt(-2 * Math.log(1 - Math.max(p, 0.5)));
  const above = 2.515517 + t * (0.802853 + t * 0.010328);
  const below = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308));
  return t - above / below;
}
