/** Options of `publish` and `import`: the target of a rollout, its times and its gates. */

import type { Argv } from 'yargs';
import { formatDurationMs, parseDurationMs } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { writeNote } from '../../shared/io/cli.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { PER_FLEET } from '../../shared/rules/budget.ts';
import { GATE_NAMES, parseGates } from '../rollout/gate-words.ts';
import { parseWaveNumbers, parseWaves, type Audience } from '../rollout/plan-rollout.ts';
import { parseStartAt, parseStartLocal } from '../../shared/rules/start-time.ts';
import { LIST, TEXT, wholeNumber } from '../../shared/io/cli-options.ts';
import { commaList } from './options.ts';

const [WAVES, SOAK] = ['1,10,50,100', '30m'];
const FLAG = { type: 'boolean', default: false } as const;

export function withWho<T>(argv: Argv<T>) {
  return argv
    .option('waves', {
      ...TEXT,
      defaultDescription: WAVES,
      describe: 'percent of the fleet, rising',
    })
    .option('soak', {
      ...TEXT,
      defaultDescription: SOAK,
      describe:
        'wait after each wave, or one for each: 10m,1h,1h,0; with canaries theirs may stand first',
    })
    .option('emergency', { ...FLAG, describe: 'everybody now: no waves, soak or windows' })
    .option('tags', { ...TEXT, describe: 'only robots that have all of these: a,b' })
    .option('robots', { ...TEXT, describe: 'only these robots: r1,r2' })
    .option('health-timeout', { ...TEXT, describe: 'probation of a robot; default: its own' })
    .option('min-canaries', {
      ...wholeNumber('min-canaries', { least: 1, most: LIMITS.minCanariesMax }),
      default: 1,
      describe: 'robots a wave has at least',
    })
    .option('salt', { ...TEXT, describe: 'reshuffle who comes first; default: the fleet' });
}

export function withSteps<T>(argv: Argv<T>) {
  return argv
    .option('canaries', { ...TEXT, describe: 'these robots before the first wave: r1,r2' })
    .option('canary-tags', { ...TEXT, describe: 'robots that have all of these come first: a,b' })
    .option('approve', { ...TEXT, describe: 'wait for a person after these waves: 1,2' })
    .option('approvers', {
      ...wholeNumber('approvers', { least: 1, most: LIMITS.approversMax }),
      default: 1,
      describe: 'users that have to approve each of them, other than the publisher',
    })
    .option('gate', {
      ...LIST,
      describe: `what a wave has to prove, NAME=VALUE; may be given again: ${GATE_NAMES.join(' ')}`,
    })
    .option('start-at', {
      ...TEXT,
      describe: 'no robot starts before this time: 2026-12-01T22:00+01:00',
    })
    .option('start-local', {
      ...TEXT,
      describe: 'the same by the wall clock of each robot (its --window-zone): 2026-12-01T22:00',
    })
    .option('at-most', {
      ...wholeNumber('at-most', { least: 1, most: LIMITS.placesAtOnceMax }),
      describe: 'budget: so many robots of one place are out of service at once; see --per',
    })
    .option('per', {
      ...TEXT,
      defaultDescription: 'fleet',
      describe: 'places of the budget: tag:hall for each value of that tag, fleet for all together',
    })
    .option('place-lease', {
      ...TEXT,
      defaultDescription: '15m',
      describe: 'a place that is not used, or whose robot is away for so long, is free again',
    })
    .option('late-spread', { ...TEXT, describe: 'robots that come later start within this' });
}

const withAudience = (argv: Argv) => withSteps(withWho(argv));
type AudienceArgs = Awaited<ReturnType<typeof withAudience>['argv']>;

/** @throws DroverError USAGE for values that cannot be parsed, or that would have no effect */
export function readAudience(
  argv: AudienceArgs,
  { fleet, publisher }: { readonly fleet: string; readonly publisher: string | undefined },
): Audience {
  const waves = parseWaves(argv.waves ?? WAVES);
  const soaksMs = (argv.soak ?? SOAK).split(',').map((one) => parseDurationMs(one.trim()));
  if (argv.emergency) {
    assertAtOnce({
      ...(argv.waves !== undefined && { waves }),
      ...(argv.soak !== undefined && { soaksMs }),
    });
  }
  return {
    tags: commaList(argv.tags),
    robots: commaList(argv.robots),
    salt: argv.salt ?? fleet,
    waves,
    soaksMs,
    emergency: argv.emergency,
    canaries: { robots: commaList(argv.canaries), tags: commaList(argv.canaryTags) },
    approveAfter: parseWaveNumbers(commaList(argv.approve)),
    approvers: argv.approvers,
    publisher: publisher ?? null,
    gates: parseGates(argv.gate ?? []),
    lateSpreadMs: argv.lateSpread === undefined ? null : parseDurationMs(argv.lateSpread),
    healthTimeoutMs: argv.healthTimeout === undefined ? null : parseDurationMs(argv.healthTimeout),
    minCanaries: argv.minCanaries,
    budget: readBudget(argv),
    start: readStart(argv),
  };
}

/** Refuses waves and soaks, which an emergency would ignore, like canaries and approvals. */
function assertAtOnce(said: { waves?: readonly number[]; soaksMs?: readonly number[] }): void {
  const isAll = said.waves === undefined || said.waves[0] === 100;
  const isNow = said.soaksMs === undefined || said.soaksMs.every((ms) => ms === 0);
  if (isAll && isNow) return;
  const option = isAll ? '--soak' : '--waves';
  throw new DroverError(
    'USAGE',
    `plan rollout: an emergency goes to everybody at once, so ${option} would do nothing`,
    { hint: `leave ${option} out; or leave --emergency out, for a rollout in waves` },
  );
}

type BudgetArgs = Pick<AudienceArgs, 'atMost' | 'per' | 'placeLease'>;

function readBudget({ atMost, per, placeLease }: BudgetArgs): Audience['budget'] {
  if (atMost !== undefined) {
    const leaseMs = placeLease === undefined ? null : parseDurationMs(placeLease);
    if (leaseMs !== null && leaseMs < LIMITS.hookTimeoutMsDefault) {
      const most = formatDurationMs(LIMITS.hookTimeoutMsDefault);
      writeNote(
        `drover: warning: --place-lease ${placeLease} is shorter than a hook may take (${most}, unless the robots have another --hook-timeout): a robot whose ready hook takes longer never begins`,
      );
    }
    return { atMost, per: per ?? PER_FLEET, leaseMs };
  }
  if (per === undefined && placeLease === undefined) return null;
  const option = per === undefined ? '--place-lease' : '--per';
  throw new DroverError('USAGE', `plan rollout: ${option} without --at-most would do nothing`, {
    hint: 'say how many robots of one place may be out of service at once: --at-most 2',
  });
}

type StartArgs = Pick<AudienceArgs, 'startAt' | 'startLocal' | 'emergency'>;

function readStart({ startAt, startLocal, emergency }: StartArgs): Audience['start'] {
  if (startAt === undefined && startLocal === undefined) return {};
  const usage = (why: string) => new DroverError('USAGE', `plan rollout: ${why}`);
  if (emergency) throw usage('an emergency starts at once, so it has no time to start at');
  if (startAt !== undefined && startLocal !== undefined) {
    throw usage('--start-at and --start-local are two starts of one rollout: leave one out');
  }
  const now = Date.now();
  return startAt === undefined
    ? { start_local: parseStartLocal(startLocal ?? '', now) }
    : { start_at: parseStartAt(startAt, now) };
}
