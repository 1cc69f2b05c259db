/**
 * `drover rollout watch`: on a terminal it redraws the status, in a pipe each change is a line,
 * with --json each change is an object on a line of its own.
 */

import { parseDurationMs, instantText } from '../../shared/base/durations.ts';
import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable, shown } from '../../shared/base/printable.ts';
import { paintStatus } from '../../shared/base/tints.ts';
import { writeAnswer, writeJson, writeNote } from '../../shared/io/cli.ts';
import { coloured } from '../../shared/io/colour.ts';
import { parseRolloutOrSet, type RolloutAnswer } from '../rollout/rollout-answer.ts';
import { changeLine, fitted, statusLines } from '../rollout/rollout-report.ts';
import { watchRollout } from '../rollout/watch.ts';
import { openApi, rawObject, rolloutPath, type ApiArgs } from './rollout-options.ts';

interface WatchArgs extends ApiArgs {
  readonly id: string;
  readonly timeout?: string | undefined;
}

type Show = (rollout: RolloutAnswer, raw: Uint8Array) => void;

export async function runWatch(args: WatchArgs): Promise<void> {
  let isRead = true;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    isRead = false; // `watch … | head`: the reader has left
  });
  const { id } = args;
  process.once('SIGINT', () => {
    // Asked again after a line of its own: the terminal has just shown ^C.
    const again = `drover rollout watch ${printable(id, LIMITS.idLengthMax)}`;
    writeNote(`\ndrover: the rollout goes on without this view; see it again: ${again}`);
    process.kill(process.pid, 'SIGINT'); // this listener is gone: it ends as without one
  });
  const timeoutMs = args.timeout === undefined ? null : parseDurationMs(args.timeout);
  const api = openApi(args);
  const { set, rollouts } = parseRolloutOrSet(await api.get(rolloutPath(args.id)));
  const watched = rollouts.map(({ id }) =>
    watchRollout({
      ...{ api, id, path: rolloutPath(id) },
      timeoutMs,
      isWanted: () => isRead,
      show: makeShow(args.json, set === null ? null : id),
      note: (line) => writeNote(`drover: ${line}`),
    }),
  );
  const ends = await Promise.allSettled(watched);
  const failures = ends.flatMap((end) =>
    end.status === 'rejected' ? [end.reason as unknown] : [],
  );
  if (failures.length > 0) throw worstOf(failures);
}

/** A halt before robots that are left, and these before a time-out. */
function worstOf(failures: readonly unknown[]): unknown {
  const rank = (error: unknown): number => MILD.indexOf(toProblem(error).code);
  return failures.toSorted((a, b) => rank(a) - rank(b))[0];
}

const MILD: readonly string[] = ['ROLLOUT_ROBOTS_UNABLE', 'WATCH_TIMEOUT'];

/** @param member of a set: each line begins with it */
function makeShow(json: boolean, member: string | null): Show {
  if (process.stdout.isTTY && !json && member === null) return makeRedraw();
  const name = member === null ? '' : `${member}  `;
  let last = '';
  return (rollout, raw) => {
    const line = changeLine(rollout);
    if (line === last) return;
    last = line;
    const at = instantText(Date.now());
    if (json) writeJson({ at, ...rawObject(raw) });
    else writeAnswer(`${at}  ${name}${line}`);
  };
}

function makeRedraw(): Show {
  let drawn = 0;
  return (rollout) => {
    // A terminal of unknown size says 0.
    const size = { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
    const lines = fitted(statusLines(rollout, Date.now()), size);
    const back = drawn > 0 ? `\u001b[${drawn}A\u001b[0J` : '';
    process.stdout.write(`${back}${coloured(lines.map(shown), paintStatus).join('\n')}\n`);
    drawn = lines.length;
  };
}
