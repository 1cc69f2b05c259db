/**
 * `drover-robot enrol`: gets this robot its id and a credential of its own, once, with a claim that
 * drover-broker enrol has made.
 */

import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { formatDurationMs, parseDurationMs } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseClaim } from '../../shared/formats/http-api.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { makeOutput, readSecret } from '../../shared/io/cli.ts';

const CLAIM_VARIABLE = 'DROVER_CLAIM';
const DEFAULT_OUT = '/etc/drover/credentials';

export const enrolSelfCommand = (argv: Argv): Argv =>
  argv.command(
    'enrol',
    'get an id and a credential of its own for this robot, with a claim',
    (options) =>
      withJson(options)
        .option('claim', {
          ...TEXT,
          describe: `claim of this robot, or ${CLAIM_VARIABLE}; one is needed`,
        })
        .option('claim-file', { ...TEXT, conflicts: 'claim', describe: 'file that holds it' })
        .option('broker', {
          ...TEXT,
          demandOption: true,
          describe: 'https:// URL of the HTTP port of the broker',
        })
        .option('ca', {
          ...TEXT,
          describe: "PEM file of the authority that signed the broker's cert",
        })
        .option('out', {
          ...TEXT,
          default: DEFAULT_OUT,
          describe: 'file for id and credential, as the unit of the agent reads it',
        })
        .option('identity', {
          ...TEXT,
          describe: 'get a certificate, whose key never leaves this new folder; else a secret',
        })
        .option('wait', {
          ...TEXT,
          default: '0s',
          describe: 'wait this long for a person who accepts the robot, such as 1h',
        }),
    (args) => runEnrol(args),
  );

interface EnrolArgs {
  readonly claim?: string | undefined;
  readonly claimFile?: string | undefined;
  readonly broker: string;
  readonly ca?: string | undefined;
  readonly out: string;
  readonly identity?: string | undefined;
  readonly wait: string;
  readonly json: boolean;
}

/**
 * @throws DroverError USAGE, FILE_EXISTS, FILE_UNREADABLE, DISK_FULL, BROKER_UNREACHABLE,
 *   ENROLMENT_PENDING, CLAIM_USED, CLAIM_EXPIRED, CLAIM_REVOKED, CLAIM_UNKNOWN and others
 */
async function runEnrol(args: EnrolArgs): Promise<void> {
  // Loaded here: the agent is the same program, and enrols once in its life.
  const { readDoor } = await import('../enrolment/ask-broker.ts');
  const { enrolRobot } = await import('../enrolment/enrol.ts');
  const out = resolve(args.out);
  const claim = readClaim(args);
  const door = readDoor(args.broker, args.ca);
  const waitMs = readWait(args.wait);
  const output = makeOutput(args.json);
  const onKey = (key: string): void => output.say(`key of this robot: ${key}`);
  const identity = args.identity === undefined ? undefined : resolve(args.identity);
  const { robot, isNew } = await enrolRobot({ door, claim, out, identity, waitMs, onKey });
  const line = isNew ? `enrolled as ${robot}: ${out}` : `${robot} is enrolled: ${out}`;
  output.result({ robot_id: robot, is_new: isNew, file: out }, [line]);
}

/** Never shown in a message: it is a secret. @throws DroverError USAGE, FILE_UNREADABLE */
function readClaim({ claim, claimFile }: EnrolArgs): string {
  const given =
    claimFile === undefined
      ? (claim ?? process.env[CLAIM_VARIABLE])
      : readSecret(claimFile, 'claim');
  if (given === undefined) {
    const hint = `give --claim-file FILE, --claim, or ${CLAIM_VARIABLE}`;
    throw new DroverError('USAGE', 'enrol: no claim was given', { hint });
  }
  return parseClaim(given);
}

function readWait(text: string): number {
  const waitMs = parseDurationMs(text);
  if (waitMs <= LIMITS.enrolWaitMsMax) return waitMs;
  const most = formatDurationMs(LIMITS.enrolWaitMsMax);
  throw new DroverError('USAGE', `read --wait: want at most ${most} (got ${text})`);
}
