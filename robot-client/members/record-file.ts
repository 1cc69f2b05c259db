/**
 * The record of the leader's decisions on its disk, in two copies: a file that is torn or damaged
 * loses none of them. Computers get a decision when both copies have it. Each copy has a
 * number that rises and a hash of its text; the newest whole one counts. The version before had one
 * file without them: where it stands, that version has run last, and a copy beside it is older.
 */

import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { DroverError, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseDocument, sizeSchema } from '../../shared/formats/schema.ts';
import type { Disk } from '../install/disk-port.ts';
import { readOrSetAside, writeWhole } from '../install/small-file.ts';
import { commitSchema, type Commit } from './commit.ts';

const COPIES = ['commits.json', 'commits.copy.json'] as const;
const RECORD_BYTES = 8;
/** The hash stands first, over all that follows it. */
const CHECKED = /^\{"check":"([0-9a-f]{64})",/;

const KIND = {
  what: 'record of decisions',
  schema: z.object({
    generation: sizeSchema,
    /** Made by chance with the first file; each id of a decision begins with it. */
    record: z.string().regex(/^[0-9a-f]{16}$/),
    commits: z.array(commitSchema).max(LIMITS.commitsMax),
  }),
  bytesMax: LIMITS.manifestBytesMax * 4,
  code: 'STATE_CORRUPT',
} as const;

/** Of the version before. */
const OLD_KIND = {
  ...KIND,
  schema: z.strictObject({ commits: KIND.schema.shape.commits }),
} as const;

interface Copy {
  readonly generation: number;
  /** Null in the file of the version before: ids of its time have no common start. */
  readonly record: string | null;
  readonly commits: readonly Commit[];
}

export interface RecordDamage {
  readonly problem: Problem;
  /** No copy was whole. */
  readonly isLost: boolean;
}

export class RecordFile {
  readonly #disk: Disk;
  readonly #folder: string;
  #record: string | null = null;
  #generation = 0;
  /** Text of the decisions that both copies have; null while they differ. */
  #kept: string | null = null;

  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
  }

  /** Null before it was read. */
  get record(): string | null {
    return this.#record;
  }

  /** @throws DroverError STATE_NEWER, PERMISSION_DENIED: a copy may be whole */
  async load(): Promise<{ commits: readonly Commit[]; damage: RecordDamage | null }> {
    const read = [];
    for (const name of COPIES)
      read.push(await readOrSetAside(this.#disk, `${this.#folder}/${name}`, parseRecord));
    const whole = read.flatMap(({ value }) => value ?? []);
    const newest =
      whole.find(({ record }) => record === null) ??
      whole.toSorted((a, b) => b.generation - a.generation)[0];
    const problem = read.find((one) => one.problem)?.problem ?? null;
    this.#record = newest?.record ?? randomBytes(RECORD_BYTES).toString('hex');
    this.#generation = Math.max(0, ...whole.map(({ generation }) => generation));
    const commits = newest?.commits ?? [];
    const areSame =
      whole.length === COPIES.length &&
      whole.every(({ record, generation }) => record !== null && generation === this.#generation);
    this.#kept = areSame ? JSON.stringify(commits) : null;
    return { commits, damage: problem && { problem, isLost: newest === undefined } };
  }

  /** Durable in both copies when it resolves. @throws DroverError of the disk */
  async keep(commits: readonly Commit[]): Promise<void> {
    const text = JSON.stringify(commits);
    if (text === this.#kept) return;
    this.#kept = null;
    this.#generation += 1;
    const bytes = encodeCommits({ generation: this.#generation, record: this.#record, commits });
    for (const name of COPIES) await writeWhole(this.#disk, `${this.#folder}/${name}`, bytes);
    this.#kept = text;
  }
}

function parseRecord(bytes: Uint8Array): Copy {
  const text = new TextDecoder().decode(bytes);
  if (text.startsWith('{"commits":'))
    return { ...parseDocument(OLD_KIND, bytes), generation: 0, record: null };
  const found = CHECKED.exec(text);
  const rest = `{${text.slice(found?.[0].length ?? 0)}`;
  if (found?.[1] !== sha256Hex(utf8(rest)))
    throw new DroverError('STATE_CORRUPT', 'parse record of decisions: its hash is another one');
  return parseDocument(KIND, utf8(rest));
}

export function encodeCommits(fields: object): Uint8Array {
  const rest = `${JSON.stringify(fields).slice(1)}\n`;
  return utf8(`{"check":"${sha256Hex(utf8(`{${rest}`))}",${rest}`);
}
