/**
 * The records of the audit chain, one line of JSON each. `prev` is the SHA-256 of the line before,
 * so that no line can be changed, removed or moved without a trace, as long as the hash of the last
 * one is kept elsewhere. The broker writes the chain, `drover audit verify` checks it:
 * docs/audit.md. Sans-I/O.
 */

import { z } from 'zod';
import { DroverError } from '../base/errors.ts';
import type { Sha256Hex } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { utf8 } from '../crypto/bytes.ts';
import { sha256Hex } from '../crypto/hash.ts';
import { parseDocument, seqSchema, sha256Schema } from './schema.ts';

/** Records about the chain itself: it begins, or something that was decided is not in it. */
export const CHAIN_BEGAN = 'chain.began';
export const CHAIN_GAP = 'chain.gap';

/** `prev` of the first record. */
export const NO_RECORD = '0'.repeat(64) as Sha256Hex;

const factSchema = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.string())]);

export const auditRecordSchema = z.object({
  v: z.literal(1),
  seq: seqSchema,
  /** Time of the decision by the clock of the broker, as ISO text. */
  at: z.string().max(40),
  /** `<thing>.<what happened to it>`, such as `robot.retired`. */
  kind: z.string().regex(/^[a-z]+\.[a-z_]{1,40}$/, 'want words such as robot.retired'),
  /** Id of the rollout, robot, user and so on; empty where there is one only. */
  subject: z.string().max(256),
  /** A user, the keys that signed, or the program that decided. */
  by: z.string().max(512),
  text: z.string().max(LIMITS.auditTextCharsMax),
  facts: z.record(z.string().max(64), factSchema),
  prev: sha256Schema,
});

export type AuditRecord = z.output<typeof auditRecordSchema>;
export type AuditFacts = Readonly<AuditRecord['facts']>;

const KIND = {
  what: 'entry of the audit chain',
  schema: auditRecordSchema,
  bytesMax: LIMITS.auditRecordBytesMax,
  code: 'AUDIT_BROKEN',
} as const;

/** The line of a record, without its end. */
export function encodeAuditRecord(record: AuditRecord): string {
  const { v, seq, at, kind, subject, by, text, facts, prev } = record;
  return JSON.stringify({ v, seq, at, kind, subject, by, text, facts, prev });
}

/** Hash of a line: `printf %s LINE | sha256sum` makes the same. */
export const hashOfLine = (line: string): Sha256Hex => sha256Hex(utf8(line));

/** The last record of a chain, or of a part of it. */
export interface ChainHead {
  readonly seq: number;
  readonly hash: Sha256Hex;
}

export interface CheckedLine {
  readonly record: AuditRecord;
  readonly head: ChainHead;
}

/**
 * Checks that a line follows the one before. A record that names a gap may leave out numbers.
 * @param before null for a line whose predecessor is not known
 * @throws DroverError AUDIT_BROKEN
 */
export function checkLine(line: string, before: ChainHead | null): CheckedLine {
  const record = parseLine(line, before);
  const head = { seq: record.seq, hash: hashOfLine(line) };
  if (before === null) {
    const isFirst = record.seq === 1;
    if (isFirst === (record.prev === NO_RECORD)) return { record, head };
    throw broken(`entry ${record.seq} names no entry before it, or entry 1 does`);
  }
  const want = before.seq + 1;
  const mayJump = record.kind === CHAIN_GAP && record.seq > want;
  if (record.seq !== want && !mayJump) {
    throw broken(`after entry ${before.seq} comes entry ${record.seq} (want ${want})`);
  }
  if (record.prev === before.hash) return { record, head };
  throw broken(
    `entry ${record.seq} does not follow entry ${before.seq} as it is here: one of them was changed`,
  );
}

function parseLine(line: string, before: ChainHead | null): AuditRecord {
  try {
    return parseDocument(KIND, utf8(line));
  } catch (error) {
    if (!(error instanceof DroverError)) throw error;
    const place = before === null ? 'the first line' : `the line after entry ${before.seq}`;
    throw broken(`${place} is no entry, or only a part of one`);
  }
}

/** A chain that begins in the place of a damaged one has lost all entries of that one. */
const namesGap = ({ kind, facts }: AuditRecord): boolean =>
  kind === CHAIN_GAP || (kind === CHAIN_BEGAN && (facts['kept'] ?? null) !== null);

const broken = (why: string): DroverError =>
  new DroverError('AUDIT_BROKEN', `verify audit chain: ${why}`);

export interface ChainReport {
  readonly first: number;
  readonly last: ChainHead;
  readonly entries: number;
  /** Numbers and sentences of records that say that others are missing. */
  readonly gaps: readonly Pick<AuditRecord, 'seq' | 'text'>[];
  /** True when the head that was looked for is among the entries. */
  readonly hasHead: boolean;
  /** Entries behind that head. */
  readonly newer: number;
}

export interface ChainExpectation {
  /** Hash of an entry that the chain must have: one that somebody kept. */
  readonly head?: string | undefined;
  /** Hash of the entry that the first one must follow. */
  readonly after?: string | undefined;
}

/** Checks a chain line by line; only the newest head and the gaps stay in memory. */
export class ChainCheck {
  readonly #want: ChainExpectation;
  #head: ChainHead | null = null;
  #first = 0;
  #entries = 0;
  #headAt: number | null;
  readonly #gaps: { seq: number; text: string }[] = [];

  constructor(want: ChainExpectation = {}) {
    this.#want = want;
    this.#headAt = want.head !== undefined && want.head === want.after ? 0 : null;
  }

  /** @throws DroverError AUDIT_BROKEN, AUDIT_CUT */
  take(line: string): CheckedLine {
    const checked = checkLine(line, this.#head);
    const { record, head } = checked;
    if (this.#head === null) {
      const { after } = this.#want;
      if (after !== undefined && record.prev !== after) {
        const which = `entry ${record.seq} is the first and does not follow the entry ${after}`;
        throw cut(which, after);
      }
      this.#first = record.seq;
    }
    this.#head = head;
    this.#entries += 1;
    if (this.#headAt === null && this.#want.head === head.hash) this.#headAt = this.#entries;
    if (namesGap(record) && this.#gaps.length < LIMITS.auditCheckedMax) {
      this.#gaps.push({ seq: record.seq, text: record.text });
    }
    return checked;
  }

  /** @throws DroverError AUDIT_CUT for a chain without entries, or without the head */
  end(): ChainReport {
    const last = this.#head;
    if (last === null) throw cut('there is no entry');
    if (this.#want.head !== undefined && this.#headAt === null) {
      const { head } = this.#want;
      throw cut(`no entry has the hash ${head}; the last one is ${last.seq}`, head);
    }
    return {
      ...{ first: this.#first, last, entries: this.#entries, gaps: this.#gaps },
      hasHead: this.#headAt !== null,
      newer: this.#headAt === null ? 0 : this.#entries - this.#headAt,
    };
  }
}

const cut = (why: string, sha256: string | null = null): DroverError =>
  new DroverError('AUDIT_CUT', `verify audit chain: ${why}`, { facts: { sha256 } });
