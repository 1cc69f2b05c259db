/**
 * The file that makes two computers of a robot known to each other: `drover-robot pair` makes it,
 * one copy is put on the leader and one on the member. Its secret proves each to the other, and
 * encrypts their link. No clock and no authority is involved: a robot may start in any year.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { idSchema, parseDocument, robotIdSchema } from '../../shared/formats/schema.ts';
import { readInput } from '../../shared/io/cli.ts';
import { writeNewFile } from '../../shared/io/new-file.ts';
import { whyUnsafe } from '../../shared/io/owned-file.ts';

export const SECRET_BYTES = 32;
const OTHERS_MAY_READ = 0o077;
const ENDING = '.json';

const pairSchema = z.object({
  robot: robotIdSchema,
  /** Name of the computer that is the member. */
  computer: idSchema,
  /** The components that it has. */
  components: z
    .array(idSchema)
    .min(1)
    .max(LIMITS.setMembersMax)
    .refine((names) => new Set(names).size === names.length, 'want each component once'),
  secret: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/, 'want 43 characters of base64url')
    .transform((text) => Buffer.from(text, 'base64url')),
});

export type Pair = z.output<typeof pairSchema>;

const KIND = {
  what: 'pair file',
  schema: pairSchema,
  bytesMax: LIMITS.memberFileBytesMax,
  code: 'PAIR_INVALID',
} as const;

/** @throws DroverError FILE_EXISTS, FILE_UNREADABLE */
export async function makePairFile(
  path: string,
  fields: { robot: RobotId; computer: string; components: readonly string[] },
): Promise<void> {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const text = `${JSON.stringify({ ...fields, secret }, null, 2)}\n`;
  await writeNewFile({ path, what: 'pair file', option: '--out' }, text, 0o600);
}

/** A file that is not there has to be made first. */
function readPairInput(path: string): Uint8Array {
  try {
    return readInput(path, 'pair file');
  } catch (thrown) {
    if (!(thrown instanceof DroverError) || existsSync(path)) throw thrown;
    const hint = `make it with drover-robot pair, and put the same file on both computers`;
    throw new DroverError(thrown.code, thrown.message, { cause: thrown, hint });
  }
}

/** @throws DroverError FILE_UNREADABLE, PAIR_INVALID; also when others may read or write it */
export function readPairFile(path: string): Pair {
  const bytes = readPairInput(path);
  const unsafe = whyUnsafe(path);
  const mayRead = (statSync(path).mode & OTHERS_MAY_READ) !== 0;
  if (unsafe || mayRead) {
    const why = unsafe?.why ?? 'other users may read it';
    const hint = unsafe?.mend ?? `chmod 600 ${path}`;
    throw new DroverError('PAIR_INVALID', `read pair file ${path}: ${why}`, { hint });
  }
  try {
    return parseDocument(KIND, bytes);
  } catch (cause) {
    const why = toProblem(cause).message;
    const hint = `put the file there again, as drover-robot pair made it, or make a new one and put it on both computers: ${path}`;
    throw new DroverError('PAIR_INVALID', `read pair file ${path}: ${why}`, { cause, hint });
  }
}

interface Found {
  readonly path: string;
  readonly pair: Pair;
}

/**
 * The members of a leader: one file each. A file that is damaged, unsafe or in conflict with
 * another one leaves out its computer, and none of the others.
 * @param own components of the leader itself
 * @returns with the reason against each file that was not taken
 * @throws DroverError FILE_UNREADABLE
 */
export function readPairFolder(
  folder: string,
  robot: RobotId,
  own: readonly string[],
): { readonly pairs: readonly Pair[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const names = listFolder(folder).filter((name) => name.endsWith(ENDING));
  const found = names.flatMap((name): Found[] => {
    const path = join(folder, name);
    try {
      return [{ path, pair: readPairFile(path) }];
    } catch (thrown) {
      problems.push(toProblem(thrown));
      return [];
    }
  });
  const pairs: Pair[] = [];
  let count = own.length;
  for (const one of found) {
    const isFull =
      pairs.length >= LIMITS.memberComputersMax ||
      count + one.pair.components.length > LIMITS.setMembersMax;
    const no = conflictOf(one, found, { robot, own }) ?? (isFull ? TOO_MANY : null);
    if (no === null) {
      pairs.push(one.pair);
      count += one.pair.components.length;
    } else {
      const message = `take pair file ${one.path}: ${no.why}`;
      problems.push(toProblem(new DroverError('PAIR_INVALID', message, { hint: no.hint })));
    }
  }
  return { pairs, problems };
}

interface No {
  readonly why: string;
  readonly hint: string;
}

const TOO_MANY: No = {
  why: `a robot has at most ${LIMITS.memberComputersMax} computers and ${LIMITS.setMembersMax} components`,
  hint: 'remove the pair files of computers that this robot does not have any more',
};

/** None of two files in conflict is taken: which of them is the right one is unknown. */
function conflictOf(
  { path, pair }: Found,
  all: readonly Found[],
  { robot, own }: { readonly robot: RobotId; readonly own: readonly string[] },
): No | null {
  const { computer, components } = pair;
  if (pair.robot !== robot) {
    const why = `${computer} belongs to robot ${pair.robot} (got --id ${robot})`;
    return {
      why,
      hint: `give --id ${pair.robot} when this is that robot; else pair the computer again: drover-robot pair ${computer} --id ${robot}`,
    };
  }
  const others = all.filter((one) => one.path !== path && one.pair.robot === robot);
  const twin = others.find((one) => one.pair.computer === computer);
  if (twin) {
    const hint = `leave the one that computer ${computer} has as well, and remove the other`;
    return { why: `${twin.path} is for computer ${computer} as well`, hint };
  }
  const hint = 'pair these computers again, each component with one of them';
  const isTaken = (name: string): boolean => own.includes(name);
  const local = components.find(isTaken);
  if (local !== undefined) return { why: `component ${local} is on the leader as well`, hint };
  for (const name of components) {
    const other = others.find((one) => one.pair.components.includes(name));
    if (other) return { why: `component ${name} is in ${other.path} as well`, hint };
  }
  return null;
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read folder ${folder}: ${why}`, { cause });
  }
}

/** Names in the folder that are no pair files: one that was meant as one is not read. */
export const strayNames = (folder: string): string[] =>
  listFolder(folder).filter((name) => !name.endsWith(ENDING));
