/**
 * `npm run soak -- [updates]`: one agent through thousands of updates under a simulated clock, good
 * ones and all kinds of bad ones. Default 10,000, which is what issue 4 promises; from the first
 * tenth on, everything that is measured must stay flat. Shorter soaks than 1,000 are not recorded.
 */

import { DroverError } from '../shared/base/errors.ts';
import {
  growthIn,
  GROWTH_MAX,
  riseOf,
  type Books,
  type Measure,
} from '../test/robot-client/soak-books.ts';
import { Soak } from '../test/robot-client/soak.ts';
import { withTempFolder } from '../test/helpers/temp-folder.ts';
import { appendResult } from './results.ts';

const UPDATES_DEFAULT = 10_000;
const RECORDED_FROM = 1_000;
/** Share of the updates after which bounds are reached and the engine has learnt what it runs. */
const WARM_UP = 0.1;
const BOOKS = 40;

function parseArgs(args: readonly string[]): number {
  const updates = Number(args[0] ?? UPDATES_DEFAULT);
  if (Number.isSafeInteger(updates) && updates > 0) return updates;
  throw new DroverError('USAGE', `run bench soak: want updates (got ${args[0]})`);
}

export async function benchSoak(args: readonly string[]): Promise<void> {
  const updates = parseArgs(args);
  const startedAt = process.hrtime.bigint(); // the other clocks are simulated
  const { books, simulatedMs } = await withTempFolder((folder) => run(folder, updates));
  const seconds = Math.round(Number(process.hrtime.bigint() - startedAt) / 1e9);
  const growth = growthIn(books);
  if (updates >= RECORDED_FROM) await record(books, { updates, seconds, simulatedMs });
  else console.log(books.at(-1));
  if (growth.length > 0) throw new Error(growth.join('\n'));
}

async function run(
  folder: string,
  updates: number,
): Promise<{ books: Books[]; simulatedMs: number }> {
  const { soak, close } = await Soak.open(folder);
  const books: Books[] = [];
  // Whole rounds, so that the books are opened after the same kind of turn.
  const every = Math.max(1, Math.floor(updates / BOOKS / soak.round)) * soak.round;
  const startMs = soak.nowMs;
  try {
    for (let done = 0; done < updates;) {
      await soak.turn(done, done < (updates * WARM_UP) / 2);
      done += 1;
      if (done % every !== 0) continue;
      const opened = await soak.openBooks(done);
      console.log(JSON.stringify(opened));
      if (done >= updates * WARM_UP) books.push(opened);
    }
    return { books, simulatedMs: soak.nowMs - startMs };
  } finally {
    await close();
  }
}

async function record(
  books: readonly Books[],
  run: { updates: number; seconds: number; simulatedMs: number },
): Promise<void> {
  const [first, last] = [books[0], books.at(-1)];
  if (!first || !last) throw new Error('a soak without books');
  const days = (run.simulatedMs / 86_400_000).toFixed(1);
  const title = `A soak of ${run.updates} updates of one robot, ${days} simulated days`;
  await appendResult(title, `npm run soak -- ${run.updates}`, {
    columns: [
      'what',
      `after ${first.updates}`,
      `after ${last.updates}`,
      'rise of a line',
      'at most',
    ],
    rows: [
      ...(Object.keys(GROWTH_MAX) as Measure[]).map((measure) => {
        const points = books.map((one) => ({ at: one.updates, value: one[measure] }));
        const rise = riseOf(points).toFixed(1);
        return [measure, first[measure], last[measure], rise, GROWTH_MAX[measure]];
      }),
      ['seconds', '', run.seconds, '', ''],
    ],
  });
}
