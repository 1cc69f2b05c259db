/**
 * `drover-robot retry` tries at once what waits for another attempt; `unblock` lets a version that
 * failed here be tried again.
 */

import type { Argv } from 'yargs';
import { z } from 'zod';
import { withFilledHint } from '../../shared/base/errors.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { callAgent } from './ask-agent.ts';
import { componentOf, withComponent } from './declare-options.ts';
import { parseRoots } from './options.ts';

/** An agent of 0.1 sends only `retried`, and refuses when that is 0. */
const answerSchema = z.object({
  retried: z.number(),
  problems: z
    .array(z.object({ component: z.string(), code: z.string(), message: z.string() }))
    .default([]),
});

function linesOf({ retried, problems }: z.output<typeof answerSchema>): string[] {
  const now =
    problems.length === 0
      ? 'it is tried again now'
      : 'it was to be tried again now, and this stands:';
  const head =
    retried > 0 ? now : 'nothing that failed waits for another try; the root was looked at again';
  const seen = problems.map(({ component, message, code }) => `${component}: ${message} (${code})`);
  return [head, ...seen];
}

export const retryCommand = (argv: Argv): Argv =>
  argv.command(
    'retry',
    'try now what failed and waits for another try, also a rollback that is stuck',
    withComponent,
    async (args) => {
      const agent = { roots: parseRoots(args.root), socket: args.socket };
      const answer = await callAgent(agent, 'POST', '/retry', componentOf(args));
      makeOutput(args.json).result(answer as object, linesOf(answerSchema.parse(answer)));
    },
  );

const withVersion = (argv: Argv) =>
  withComponent(argv).positional('version', {
    type: 'string',
    demandOption: true,
    describe: 'version that failed here',
  });

export const unblockCommand = (argv: Argv): Argv =>
  argv.command(
    'unblock <version>',
    'let a version that failed here be tried again',
    withVersion,
    async (args) => {
      const { version } = args;
      const agent = { roots: parseRoots(args.root), socket: args.socket };
      const body = { version, ...componentOf(args) };
      const answer = await callAgent(agent, 'POST', '/unblock', body).catch((thrown: unknown) => {
        throw withFilledHint(thrown, { VERSION: version });
      });
      makeOutput(args.json).result(answer as object, [`${version} may be tried again`]);
    },
  );
