#!/usr/bin/env node
/** `drover`: the publisher's command line. Words become calls here; nothing is decided. */

import yargs from 'yargs';
import { DroverError } from '../shared/base/errors.ts';
import { runProgram } from '../shared/io/cli.ts';
import { buildVerb } from './commands/build.ts';
import { exportVerb } from './commands/export.ts';
import { fleetVerb } from './commands/fleet.ts';
import { importVerb } from './commands/import.ts';
import { inspectVerb } from './commands/inspect.ts';
import { keygenVerb } from './commands/keygen.ts';
import { LIST_OPTIONS } from './commands/options.ts';
import { packVerb } from './commands/pack.ts';
import { publishVerb } from './commands/publish.ts';
import { reportVerb } from './commands/report.ts';
import { rolloutVerb } from './commands/rollout.ts';
import { signVerb } from './commands/sign.ts';
import { trustVerb } from './commands/trust.ts';
import { verifyVerb } from './commands/verify.ts';

const VERBS = {
  keygen: keygenVerb,
  trust: trustVerb,
  build: buildVerb,
  sign: signVerb,
  verify: verifyVerb,
  inspect: inspectVerb,
  pack: packVerb,
  publish: publishVerb,
  rollout: rolloutVerb,
  fleet: fleetVerb,
  export: exportVerb,
  import: importVerb,
  report: reportVerb,
};

const GROUPS = {
  trust: ['init', 'rotate', 'sign', 'publish'],
  rollout: [
    ...['list', 'status', 'watch', 'history', 'withdraw'],
    ...['pause', 'resume', 'abort', 'rollback', 'approve', 'force-open'],
  ],
  fleet: ['versions', 'robots', 'requests'],
};

/** A second value for an option that takes one is a mistake, never "the last one wins". */
function assertGivenOnce(argv: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(argv)) {
    if (name === '_' || !Array.isArray(value)) continue;
    const dashed = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (LIST_OPTIONS.includes(dashed)) continue;
    throw new DroverError('USAGE', `read --${dashed}: given ${value.length} times (want once)`);
  }
}

/** What yargs did not understand is usage; what a verb threw stays as it is. */
function asUsage(message: string | null, error: Error | undefined): Error {
  if (error !== undefined && error.name !== 'YError') return error;
  const text = message ?? error?.message ?? 'not understood';
  return new DroverError('USAGE', text.charAt(0).toLowerCase() + text.slice(1));
}

async function main(words: readonly string[]): Promise<void> {
  const parser = yargs([...words])
    .scriptName('drover')
    .usage('$0: build, sign and publish software for robots')
    .version(false) // --version is the version of a bundle here
    .option('debug', { type: 'boolean', hidden: true, describe: 'print the trace of a bug' })
    .parserConfiguration({ 'parse-positional-numbers': false, 'duplicate-arguments-array': true })
    .middleware((argv) => {
      if (argv.debug === true) process.env['DROVER_DEBUG'] = '1';
      assertGivenOnce(argv);
    }, true)
    .strict()
    .recommendCommands()
    .demandCommand(1, 'name a verb')
    .wrap(Math.min(100, process.stdout.columns || 100))
    .epilogue('Exit codes: 0 ok, 1 our bug, 2 usage, 3 refused, 4 unreachable.')
    .fail((message, error) => {
      throw asUsage(message, error);
    });
  for (const verb of Object.values(VERBS)) verb(parser);
  await parser.parseAsync();
}

await runProgram(
  { program: 'drover', commands: Object.keys(VERBS), groups: GROUPS, runsWithout: false },
  () => main(process.argv.slice(2)),
);
