/**
 * `drover fleet enrolments`, `accept`, `refuse` and `revoke`: shows the robots that enrol at a broker,
 * and says yes or no to those that wait for a person.
 */

import type { Argv } from 'yargs';
import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import { printable } from '../../shared/base/printable.ts';
import { makeOutput, terminalColumns } from '../../shared/io/cli.ts';
import { formatTable } from '../rollout/fleet-report.ts';
import { openApi, rawObject, withApi, type ApiArgs } from './rollout-options.ts';

const answerSchema = z.object({
  enrolments: z.array(
    z.object({
      robot_id: z.string(),
      enrolled: z.boolean(),
      /** False for a robot that was retired, too; absent from an older broker. */
      reported: z.boolean().optional(),
      claim: z.string(),
      expires_at: z.string(),
      asked_at: z.string().nullable(),
      asked_from: z.string().nullable(),
      key: z.string().nullable(),
      /** Absent from an older broker. */
      certificate: z.object({ days_left: z.number(), state: z.string() }).nullable().optional(),
    }),
  ),
});

const DOES = {
  accept: 'say yes to a robot that waits with its claim',
  refuse: 'say no to it: its claim is void',
  revoke: 'end the claim and the enrolled credential of a robot',
} as const;

const DONE = {
  accept: 'accepted: it gets its credential when it asks again',
  refuse: 'refused: its claim is void',
  revoke:
    'revoked: its claim and its credential are void, and its connection to that broker has ended',
} as const;

export function withEnrolmentCommands(argv: Argv): Argv {
  const listed = argv.command(
    'enrolments',
    'list claims and enrolled robots, those that wait for a person first',
    (options) => withApi(options).example('$0 fleet enrolments --api https://broker:8443', ''),
    (args) => showEnrolments(args),
  );
  const verbs = ['accept', 'refuse', 'revoke'] as const;
  return verbs.reduce(
    (all, verb) =>
      all.command(
        `${verb} <robot>`,
        DOES[verb],
        (options) =>
          withApi(options).positional('robot', {
            type: 'string',
            demandOption: true,
            describe: 'its id',
          }),
        async (args) => {
          const path = `/enrolments/${encodeURIComponent(args.robot)}/${verb}`;
          const bytes = await openApi(args).post(path, {});
          makeOutput(args.json).result(rawObject(bytes), [`${args.robot} is ${DONE[verb]}`]);
        },
      ),
    listed,
  );
}

function certificateText(
  certificate: { days_left: number; state: string } | null | undefined,
): string {
  if (!certificate) return '-';
  const { days_left: days, state } = certificate;
  if (state === 'expired') return 'expired';
  if (state === 'foreign') return 'of another authority';
  return `${printable(state)}, ${days} d`;
}

async function showEnrolments(args: ApiArgs): Promise<void> {
  const bytes = await openApi(args).get('/enrolments');
  const answer = answerSchema.safeParse(rawObject(bytes));
  if (!answer.success) {
    throw new DroverError('BROKER_REFUSED', 'list enrolments: the answer cannot be read');
  }
  const rank = ({ claim }: { claim: string }): number => (claim === 'pending' ? 0 : 1);
  const table = answer.data.enrolments
    .toSorted((a, b) => rank(a) - rank(b))
    .map((one) => [
      printable(one.robot_id),
      one.enrolled ? 'yes' : 'no',
      one.reported === undefined ? '-' : one.reported ? 'yes' : 'no',
      printable(one.claim),
      printable(one.claim === 'open' ? `until ${one.expires_at}` : (one.asked_at ?? '-')),
      printable(one.asked_from ?? '-'),
      printable(one.key ?? '-'),
      certificateText(one.certificate),
    ]);
  const head = ['ROBOT', 'ENROLLED', 'REPORTED', 'CLAIM', 'WHEN', 'FROM', 'KEY', 'CERTIFICATE'];
  const lines =
    table.length > 0
      ? formatTable([head, ...table], terminalColumns())
      : ['no claim was made there'];
  makeOutput(args.json).result(rawObject(bytes), lines);
}
