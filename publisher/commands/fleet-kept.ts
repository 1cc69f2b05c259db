/**
 * `drover fleet sessions`, `remove-session` and `retire`: lists what a broker keeps for absent
 * clients and robots, and removes it.
 */

import type { Argv } from 'yargs';
import { z } from 'zod';
import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import { printable } from '../../shared/base/printable.ts';
import { makeOutput, terminalColumns } from '../../shared/io/cli.ts';
import { formatTable } from '../rollout/fleet-report.ts';
import { openApi, rawObject, withApi, type ApiArgs } from './rollout-options.ts';

const answerSchema = z.object({
  sessions: z.array(
    z.object({
      client_id: z.string(),
      owner: z.string().nullable(),
      connected: z.boolean(),
      away_s: z.number(),
      queued: z.number(),
      queued_bytes: z.number(),
      dropped: z.number(),
    }),
  ),
});

export const withKeptCommands = (argv: Argv): Argv =>
  argv
    .command(
      'sessions',
      'list MQTT sessions that a broker keeps for clients that are away',
      (options) => withApi(options).example('$0 fleet sessions --api http://127.0.0.1:8080', ''),
      (args) => showSessions(args),
    )
    .command(
      'remove-session <client>',
      'end such a session, what is queued for it and its connection',
      (options) =>
        withApi(options).positional('client', {
          type: 'string',
          demandOption: true,
          describe: 'client id, as sessions lists it',
        }),
      (args) => removeSession(args),
    )
    .command(
      'retire <robot>',
      'forget a robot that does not come back: it is targeted, counted and listed no more',
      (options) =>
        withApi(options)
          .positional('robot', { type: 'string', demandOption: true, describe: 'its id' })
          .option('revoke', {
            type: 'boolean',
            default: false,
            describe: 'end its enrolled credential as well, so that it cannot come back',
          })
          .example('$0 fleet retire r9 --api http://127.0.0.1:8080', ''),
      (args) => retireRobot(args),
    );

async function showSessions(args: ApiArgs): Promise<void> {
  const bytes = await openApi(args).get('/sessions');
  const answer = answerSchema.safeParse(rawObject(bytes));
  if (!answer.success) {
    throw new DroverError('BROKER_REFUSED', 'list sessions: the answer cannot be read');
  }
  const table = answer.data.sessions.map((one) => [
    printable(one.client_id),
    one.owner ?? '-',
    one.connected ? 'here' : `away ${Math.round(one.away_s / 3600)} h`,
    String(one.queued),
    String(one.queued_bytes),
    String(one.dropped),
  ]);
  const head = ['CLIENT', 'OWNER', 'IS', 'QUEUED', 'BYTES', 'DROPPED'];
  const lines =
    table.length > 0 ? formatTable([head, ...table], terminalColumns()) : ['no session is kept'];
  makeOutput(args.json).result(rawObject(bytes), lines);
}

async function removeSession(args: ApiArgs & { client: string }): Promise<void> {
  const path = `/sessions/${encodeURIComponent(args.client)}/remove`;
  const bytes = await openApi(args).post(path, {});
  makeOutput(args.json).result(rawObject(bytes), [`removed the session of ${args.client}`]);
}

const retiredSchema = z.object({
  /** Null where the broker enrols no robots; absent from an older broker. */
  enrolled: z.boolean().nullish(),
});

/**
 * With --revoke the exit code says whether the robot is locked out: a script may rely on 0.
 * @throws DroverError CREDENTIAL_STAYS when it is retired and its login is not ours to end
 */
async function retireRobot(args: ApiArgs & { robot: string; revoke: boolean }): Promise<void> {
  const { robot, revoke, json } = args;
  const api = openApi(args);
  const path = encodeURIComponent(robot);
  const output = makeOutput(json);
  const bytes = await api.post(`/robots/${path}/retire`, {}).catch(async (thrown: unknown) => {
    if (!isNotFound(thrown)) throw thrown;
    // It may have been retired without --revoke before.
    const isRevoked = revoke && (await nullIfFailed(api.post(`/enrolments/${path}/revoke`, {})));
    if (!isRevoked) throw retiredBefore(robot, thrown);
    return null;
  });
  if (bytes === null) {
    return output.result({ retired: null, revoked: true }, [
      `${robot} was retired before, or never reported`,
      REVOKED,
    ]);
  }
  const told = rawObject(bytes);
  const { enrolled } = retiredSchema.safeParse(told).data ?? {};
  const isTried = revoke && enrolled !== false && enrolled !== null;
  if (isTried) await api.post(`/enrolments/${path}/revoke`, {});
  else if (revoke) throw new DroverError('CREDENTIAL_STAYS', staysMessage(robot));
  output.result({ ...told, revoked: isTried }, [
    `retired ${robot}: nothing counts it any more`,
    isTried
      ? REVOKED
      : `if it comes back it is a robot like any other: ${credentialLeft(robot, enrolled)}`,
  ]);
}

const REVOKED =
  'its claim and its enrolled credential are void: it can come back only with a new claim';

const staysMessage = (robot: string): string =>
  `revoke ${robot}: it is retired, but it did not enrol, so its login stays good and it can come back`;

const isNotFound = (thrown: unknown): thrown is DroverError =>
  thrown instanceof DroverError && thrown.code === 'NOT_FOUND';

/** A robot that is gone from the lists may still have its enrolled credential. */
const retiredBefore = (robot: string, { code, message }: DroverError): DroverError =>
  new DroverError(code, message, {
    hint: `drover fleet robots lists those that are known; to end an enrolled credential of one that was retired before: drover fleet revoke ${robot}`,
  });

/** Retiring ends no credential: names the one that still lets the robot in, and who ends it. */
function credentialLeft(robot: string, enrolled: boolean | null | undefined): string {
  const inFile = 'its user in the credentials file, or its certificate, stays good';
  const revoke = `drover fleet revoke ${robot}`;
  if (enrolled === true) return `its enrolled credential stays good; to end it: ${revoke}`;
  if (enrolled === undefined) return `${inFile}; where it was enrolled: ${revoke}`;
  return `${inFile}; to end a user, take it out of that file`;
}
