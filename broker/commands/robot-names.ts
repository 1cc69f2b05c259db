/** Names of many robots on a command line: counted ones, or those of a file. */

import type { Argv } from 'yargs';
import { DroverError } from '../../shared/base/errors.ts';
import { isRobotId, type RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { readInput } from '../../shared/io/cli.ts';
import { TEXT, wholeNumber } from '../../shared/io/cli-options.ts';

/** `amr-0001`: lists sort as people count. */
const DIGITS = 4;

export const withRobotNames = <T>(args: Argv<T>) =>
  args
    .option('count', {
      ...wholeNumber('count', { least: 1, most: LIMITS.enrolmentsMax }),
      implies: 'prefix',
      describe: 'this many robots, such as amr-0001 to amr-0500',
    })
    .option('prefix', { ...TEXT, implies: 'count', describe: 'beginning of their names: amr-' })
    .option('from', {
      ...wholeNumber('from', { least: 0, most: 10 ** 9 }),
      implies: 'count',
      describe: 'number of the first of them (default: 1)',
    })
    .option('robots', { ...TEXT, describe: 'file with the name of a robot on each line' });

export interface NameArgs {
  readonly count?: number | undefined;
  readonly prefix?: string | undefined;
  readonly from?: number | undefined;
  readonly robots?: string | undefined;
}

/**
 * Empty when none of these options was given.
 * @throws DroverError USAGE, FILE_UNREADABLE, DOCUMENT_TOO_LARGE
 */
export function readRobotNames({ count, prefix, from = 1, robots }: NameArgs): RobotId[] {
  const counted =
    count === undefined
      ? []
      : Array.from({ length: count }, (_none, at) =>
          [prefix ?? '', String(from + at).padStart(DIGITS, '0')].join(''),
        );
  const listed = robots === undefined ? [] : linesOf(robots);
  const names = [...counted, ...listed].map(asRobotId);
  const seen = new Set<RobotId>();
  const twice = names.find((name) => seen.size === seen.add(name).size);
  if (names.length > LIMITS.enrolmentsMax) {
    const counts = `got ${names.length}, want at most ${LIMITS.enrolmentsMax}`;
    throw new DroverError('USAGE', `read robots: too many (${counts})`);
  }
  if (twice !== undefined) throw new DroverError('USAGE', `read robots: ${twice} is named twice`);
  return names;
}

function linesOf(file: string): string[] {
  const text = new TextDecoder().decode(readInput(file, `names of robots ${file}`));
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

export function asRobotId(text: string): RobotId {
  // One that begins with - would be read as an option by every other command.
  if (isRobotId(text) && !text.startsWith('-')) return text;
  const got = JSON.stringify(text.slice(0, 80));
  throw new DroverError(
    'USAGE',
    `read robots: not a robot id (got ${got}, want 1 to 64 of A-Z a-z 0-9 _ -, not - first)`,
  );
}
