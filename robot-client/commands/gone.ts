/**
 * `drover-robot gone`: a person says that another computer of the robot never comes back as it is,
 * so that its leader goes on without it. Without --yes it only shows what would go on.
 */

import type { Argv } from 'yargs';
import { z } from 'zod';
import { makeOutput } from '../../shared/io/cli.ts';
import { callAgent } from './ask-agent.ts';
import { withRoots } from './declare-options.ts';
import { parseComputerName } from './member-options.ts';
import { parseRoots } from './options.ts';

const answerSchema = z.object({
  components: z.array(z.string()),
  decisions: z.array(z.object({ set: z.string(), decision: z.string() })),
});

type Answer = z.output<typeof answerSchema>;

const withNames = (argv: Argv) =>
  withRoots(argv)
    .positional('computers', {
      type: 'string',
      array: true,
      demandOption: true,
      describe: 'as in its pair file; or a component, when that file is gone as well',
    })
    .option('yes', {
      type: 'boolean',
      default: false,
      describe: 'it never comes back with what is on its disk: go on without it',
    });

export const goneCommand = (argv: Argv): Argv =>
  argv.command(
    'gone <computers..>',
    'on the leader: go on without a computer that was taken out for good',
    withNames,
    async (args) => {
      const computers = args.computers.map((name) => parseComputerName(name));
      const agent = { roots: parseRoots(args.root), socket: args.socket };
      const body = { computers, for_good: args.yes };
      const answer = await callAgent(agent, 'POST', '/gone', body);
      const lines = linesOf(answerSchema.parse(answer), computers, args.yes);
      makeOutput(args.json).result(answer as object, lines);
    },
  );

function linesOf({ components, decisions }: Answer, names: string[], isSaid: boolean): string[] {
  const [whom, what] = [names.join(' and '), components.join(' and ')];
  const sets = decisions.map(({ set, decision }) =>
    decision === 'switch'
      ? `set ${set}: all go back, without ${what}`
      : `set ${set}: the decision stays to ${decision}, and nothing waits for ${what} any more`,
  );
  if (isSaid)
    return [
      ...sets,
      `remove the pair file of ${whom} from --members and restart the agent, or pair another computer with an empty disk in its place`,
    ];
  return [
    `when ${whom} never comes back with what is on its disk:`,
    ...sets.map((line) => `  ${line}`),
    'nothing was done; the fleet is told when you say so with --yes',
    'one that is only away or switched off follows by itself when it is back: wait for it',
  ];
}
