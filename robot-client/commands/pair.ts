/** `drover-robot pair`: makes the file by which a member and the leader of a robot know each other. */

import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { parseComponentName, parseRobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { makeOutput } from '../../shared/io/cli.ts';
import { TEXT, withJson } from '../../shared/io/cli-options.ts';
import { makePairFile } from '../members/pair-file.ts';
import { parseComputerName } from './member-options.ts';

export const pairCommand = (argv: Argv): Argv =>
  argv.command(
    'pair <computer>',
    'make the secret that two computers of a robot share, as a file for both',
    (options) =>
      withJson(options)
        .positional('computer', {
          type: 'string',
          demandOption: true,
          describe: 'name of the computer that gets a leader',
        })
        .option('id', { ...TEXT, demandOption: true, describe: 'robot id, as the leader has it' })
        .option('component', {
          type: 'string',
          array: true,
          demandOption: true,
          describe: 'component that this computer has; repeatable',
        })
        .option('out', { ...TEXT, demandOption: true, describe: 'file to write, NAME.json' }),
    (args) => runPair(args),
  );

interface PairArgs {
  readonly computer: string;
  readonly id: string;
  readonly component: readonly string[];
  readonly out: string;
  readonly json: boolean;
}

/** @throws DroverError USAGE, FILE_EXISTS, FILE_UNREADABLE */
async function runPair(args: PairArgs): Promise<void> {
  const computer = parseComputerName(args.computer);
  const components = args.component.map((name) => parseComponentName(name));
  const isTwice = new Set(components).size < components.length;
  if (isTwice || components.length > LIMITS.setMembersMax) {
    const want = `want each once, and at most ${LIMITS.setMembersMax}`;
    throw new DroverError('USAGE', `read --component: ${components.join(', ')} (${want})`);
  }
  const out = resolve(args.out);
  if (!out.endsWith('.json')) {
    throw new DroverError('USAGE', `read --out: not a name that ends in .json (got ${args.out})`);
  }
  await makePairFile(out, { robot: parseRobotId(args.id), computer, components });
  makeOutput(args.json).result({ computer, components, file: out }, [
    `${out}: a secret of ${computer} and the leader of ${args.id}`,
    'put it on both, readable by its owner alone: into --members of the leader, and for --pair of the other',
  ]);
}
