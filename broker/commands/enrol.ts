/**
 * `drover-broker enrol`: makes claims, with which robots get a credential of their own at first
 * boot; lists them; revokes them. Claims are made here and go into files alone: the broker gets
 * their hashes, over a socket in its data folder or, while it is stopped, in its database.
 */

import { countOf } from '../../shared/base/printable.ts';
import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Argv } from 'yargs';
import { formatDurationMs, instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { claimText } from '../../shared/formats/http-api.ts';
import { LIST, readSpanMs, TEXT, withJson } from '../../shared/io/cli-options.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { writeNewFile } from '../../shared/io/new-file.ts';
import { drawClaim } from './claim-code.ts';
import { atData } from '../enrolment/enrol-socket.ts';
import type { EnrolmentView } from '../enrolment/records.ts';
import { asRobotId, readRobotNames, withRobotNames, type NameArgs } from './robot-names.ts';

const SECRET_BYTES = 32;

export const ENROL_VERBS = ['list', 'revoke'];

const withData = <T>(args: Argv<T>) =>
  withJson(args).option('data', {
    ...TEXT,
    demandOption: true,
    describe: 'data folder of the broker, which may run',
  });

const withClaims = <T>(args: Argv<T>) =>
  withRobotNames(withData(args))
    .option('robot', { ...LIST, default: [] as string[], describe: 'id of a robot; repeatable' })
    .option('expires', {
      ...TEXT,
      default: formatDurationMs(LIMITS.claimLifeMsDefault),
      describe: 'a claim is good for this long',
    })
    .option('approve', {
      type: 'boolean',
      default: false,
      describe: 'a person has to accept each robot: drover fleet accept',
    })
    .option('replace', {
      type: 'boolean',
      default: false,
      describe: 'also for robots that are enrolled: the new claim ends their credential when used',
    })
    .option('out', { ...TEXT, describe: 'new file: the id and the claim of a robot on each line' })
    .option('qr', { ...TEXT, describe: 'folder for a QR code (SVG) of the claim of each robot' });

export const enrolCommand = (argv: Argv): Argv =>
  argv.command('enrol', 'make claims with which robots enrol at first boot', (group) =>
    group
      .command(
        '$0',
        'make claims with which robots enrol at first boot',
        (options) =>
          withClaims(options).example(
            '$0 enrol --data DIR --count 500 --prefix amr- --expires 7d --out claims.txt',
            '',
          ),
        (args) => runEnrol(args),
      )
      .command('list', 'list claims and enrolled robots', withData, (args) => runList(args))
      .command(
        'revoke <ids..>',
        'end the claims and the enrolled credentials of robots',
        (options) =>
          withData(options).positional('ids', {
            type: 'string',
            array: true,
            demandOption: true,
            describe: 'their ids',
          }),
        (args) => runRevoke(args),
      ),
  );

interface EnrolArgs extends NameArgs {
  readonly data: string;
  readonly robot: string[];
  readonly expires: string;
  readonly approve: boolean;
  readonly replace: boolean;
  readonly out?: string | undefined;
  readonly qr?: string | undefined;
  readonly json: boolean;
}

interface Made {
  readonly robot: RobotId;
  readonly claim: string;
}

/**
 * @throws DroverError USAGE, FILE_EXISTS, CLAIM_EXISTS, ENROLMENT_OFF, DATA_LOCKED, FILE_REFUSED
 *   and others; then there is neither a claim nor a file
 */
async function runEnrol(args: EnrolArgs): Promise<void> {
  const { data, out, qr, approve, replace } = args;
  const robots = [...readRobotNames(args), ...args.robot.map(asRobotId)];
  if (robots.length === 0) {
    throw new DroverError('USAGE', 'make claims: for no robot', {
      hint: 'give --count N --prefix NAME-, --robot ID or --robots FILE',
    });
  }
  const life = { least: LIMITS.claimLifeMsMin, most: LIMITS.claimLifeMsMax };
  const expiresAt = Date.now() + readSpanMs('expires', args.expires, life);
  const made = robots.map((robot): Made => {
    return { robot, claim: claimText(randomBytes(SECRET_BYTES).toString('base64url')) };
  });
  const orders = made.map(({ robot, claim }) => ({
    robot_id: robot,
    claim_sha256: sha256Hex(utf8(claim)),
    expires_at: expiresAt,
    needs_yes: approve,
  }));
  // Files first: a claim that is known to the broker alone could be used by no one.
  const written = await writeClaims(made, { out, qr });
  try {
    await atData(data, { verb: 'add', orders, replace });
  } catch (error) {
    for (const path of written) await rm(path, { force: true });
    throw error;
  }
  const until = instantText(expiresAt);
  const claims = made.map(({ robot, claim }) => ({ robot_id: robot, claim }));
  const isShown = out === undefined && qr === undefined;
  const lines = isShown
    ? made.map(lineOf)
    : [`${countOf(made.length, 'claim')}, each good once until ${until}`];
  makeOutput(args.json).result(
    { expires_at: until, files: written, ...(isShown ? { claims } : { count: made.length }) },
    lines,
  );
}

const lineOf = ({ robot, claim }: Made): string => `${robot} ${claim}`;

/** @returns the files, which only their owner may read */
async function writeClaims(
  made: readonly Made[],
  { out, qr }: { out: string | undefined; qr: string | undefined },
): Promise<string[]> {
  const written: string[] = [];
  const put = async (path: string, option: string, text: string): Promise<void> => {
    await writeNewFile({ path, what: 'claims', option }, text, 0o600);
    written.push(path);
  };
  try {
    if (out !== undefined) await put(out, '--out', made.map((one) => `${lineOf(one)}\n`).join(''));
    if (qr !== undefined) {
      await mkdir(qr, { recursive: true, mode: 0o700 });
      for (const { robot, claim } of made) {
        await put(join(qr, `${robot}.svg`), '--qr', drawClaim(robot, claim));
      }
    }
    return written;
  } catch (error) {
    for (const path of written) await rm(path, { force: true });
    throw error;
  }
}

async function runList({ data, json }: { data: string; json: boolean }): Promise<void> {
  const { enrolments } = await atData(data, { verb: 'list' });
  const lines = enrolments.map(describe);
  makeOutput(json).result({ enrolments }, lines.length > 0 ? lines : ['no claim was made here']);
}

const describe = (one: EnrolmentView): string =>
  [
    one.robot_id,
    one.enrolled ? 'enrolled' : 'not enrolled',
    `claim ${one.claim}`,
    one.claim === 'open' || one.claim === 'expired'
      ? `until ${one.expires_at}`
      : `asked ${one.asked_at ?? '-'} from ${one.asked_from ?? '-'}`,
    ...(one.certificate
      ? [`certificate ${stateText(one.certificate.state)} until ${one.certificate.expires_at}`]
      : []),
  ].join('  ');

const stateText = (state: string): string =>
  state === 'foreign' ? 'of another authority (not taken: CERTIFICATE_FOREIGN)' : state;

async function runRevoke(args: { data: string; ids: string[]; json: boolean }): Promise<void> {
  const call = { verb: 'revoke', robots: args.ids, by: 'drover-broker' } as const;
  const { enrolments, unknown } = await atData(args.data, call);
  const done = enrolments.map((one) => `${one.robot_id}: its claim and its credential are void`);
  makeOutput(args.json).result({ enrolments, unknown }, done);
  if (unknown.length === 0) return;
  const names = unknown.slice(0, 5).join(', ');
  throw new DroverError('NOT_FOUND', `revoke ${names}: there is no such enrolment`, {
    hint: 'drover-broker enrol list --data DIR shows all; the others were revoked',
  });
}
