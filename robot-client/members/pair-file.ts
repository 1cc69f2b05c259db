/**
 * The file that makes two computers of a robot known to each other: `drover-robot pair` makes it,
 * one copy is put on the leader and one on the member. Its secret proves each to the other, and
 * encrypts their link. No clock and no authority is involved: a robot may start in any year.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { idSchema, parseDocument, robotIdSchema } from '../../shared/formats/schema.ts';
import { readInput } from '../../shared/io/cli.ts';
import { writeNewFile } from '../../shared/io/new-file.ts';
import { whyUnsafe } from '../../shared/io/owned-file.ts';

const SECRET_BYTES = 32;
const OTHERS_MAY_READ = 0o077;
const ENDING = '.json';

const pairSchema = z.object({
  robot: robotIdSchema,
  /** Name of the computer that is the member. */
  computer: idSchema,
  /** The components that it has. */
  components: z.array(idSchema).min(1).max(LIMITS.setMembersMax),
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
  return parseDocument(KIND, bytes);
}

/**
 * The members of a leader: one file each.
 * @param own components of the leader itself
 * @throws DroverError FILE_UNREADABLE, PAIR_INVALID
 */
export function readPairFolder(folder: string, robot: RobotId, own: readonly string[]): Pair[] {
  const names = listFolder(folder).filter((name) => name.endsWith(ENDING));
  const pairs = names.map((name) => readPairFile(join(folder, name)));
  const no = (why: string): DroverError =>
    new DroverError('PAIR_INVALID', `read the pair files of ${folder}: ${why}`);
  if (pairs.length > LIMITS.memberComputersMax) {
    throw no(`too many (got ${pairs.length}, want at most ${LIMITS.memberComputersMax})`);
  }
  const taken = new Set(own);
  const computers = new Set<string>();
  for (const pair of pairs) {
    if (pair.robot !== robot) {
      const message = `read the pair files of ${folder}: ${pair.computer} belongs to robot ${pair.robot} (got --id ${robot})`;
      throw new DroverError('PAIR_INVALID', message, {
        hint: `give --id ${pair.robot} when this is that robot; else pair the computer again: drover-robot pair ${pair.computer} --id ${robot}`,
      });
    }
    if (computers.has(pair.computer)) throw no(`computer ${pair.computer} is there twice`);
    computers.add(pair.computer);
    for (const name of pair.components) {
      if (taken.has(name)) throw no(`component ${name} is on two computers`);
      taken.add(name);
    }
  }
  if (taken.size > LIMITS.setMembersMax)
    throw no(`a robot has at most ${LIMITS.setMembersMax} components`);
  return pairs;
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
