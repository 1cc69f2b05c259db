/**
 * Runs the updaters of a benchmark in turn: the rounds, columns and texts that such benchmarks
 * share.
 */

import { DroverError } from '../shared/base/errors.ts';
import { median } from './median.ts';

const RUNS_DEFAULT = 3;

export interface Rounds {
  readonly mebibytes: number;
  readonly runs: number;
}

/** Reads `[MIB] [RUNS]`. @throws DroverError USAGE */
export function parseRounds(bench: string, args: readonly string[], mibDefault: number): Rounds {
  const [mebibytes = mibDefault, runs = RUNS_DEFAULT] = args.map(Number);
  if ([mebibytes, runs].every((one) => Number.isSafeInteger(one) && one > 0))
    return { mebibytes, runs };
  throw new DroverError('USAGE', `run bench ${bench}: want [MIB] [RUNS]`);
}

export type Named<T> = readonly (readonly [name: string, one: T])[];

/** One run of each updater after the other, again and again: a busy minute meets all of them. */
export async function playInTurn<U, R>(
  updaters: Named<U>,
  runs: number,
  play: (updater: U, run: number) => Promise<R>,
): Promise<Named<readonly R[]>> {
  const all = updaters.map(([name]) => [name, [] as R[]] as const);
  for (let run = 0; run < runs; run += 1) {
    for (const [at, [name, updater]] of updaters.entries()) {
      const one = await play(updater, run);
      all[at]?.[1].push(one);
      console.log(name, one);
    }
  }
  return all;
}

/** The heading of a column, the figure in it, and its digits behind the point. */
export type Column<K extends string> = readonly [heading: string, figure: K, digits: number];

/** A row for each updater, with the medians of its runs. */
export function tableOf<K extends string>(
  all: Named<readonly Readonly<Record<K, number>>[]>,
  columns: readonly Column<K>[],
): { columns: string[]; rows: string[][] } {
  const rows = all.map(([name, runs]) => [
    name,
    ...columns.map(([, figure, digits]) => median(runs.map((run) => run[figure])).toFixed(digits)),
  ]);
  return { columns: ['updater', ...columns.map(([heading]) => heading)], rows };
}
