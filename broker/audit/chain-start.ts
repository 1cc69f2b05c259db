/**
 * Reads the end of the audit chain when a broker starts, and names a gap when its newest records do
 * not follow each other or do not reach the head that was stored with them. It repairs nothing:
 * the records stay as they are, for a person to compare.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { isSha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { checkLine, hashOfLine, type ChainHead } from '../../shared/formats/audit-record.ts';
import type { Range } from '../control/durable-level.ts';
import { gap, type AuditedDecision } from './decision.ts';

export const RECORDS = 'record/';
export const recordKey = (seq: number): string => `${RECORDS}${String(seq).padStart(12, '0')}`;

export interface ChainEntries {
  entries(range: Range): AsyncIterable<[string, unknown]>;
}

export interface FoundChain {
  /** The newest record; null in an empty database. */
  readonly head: ChainHead | null;
  /** The record that names what is missing; null when all is well. */
  readonly gap: AuditedDecision | null;
  /** The next record follows this: a gap leaves out the numbers of lost records. */
  readonly goOnFrom: ChainHead | null;
  /** Places where records do not follow each other: kept, so that each is named once. */
  readonly breaks: string;
}

/** Breaks that are listed: with more than these the chain is no evidence any more. */
const BREAKS_MAX = 20;

/**
 * @param stored the head that was written with the newest record
 * @param named breaks that a record has named already
 */
export async function readChain(
  database: ChainEntries,
  stored: unknown,
  named: unknown,
): Promise<FoundChain> {
  const newest = await newestLines(database);
  const last = newest.at(-1);
  const head = last ? { seq: last.seq, hash: hashOfLine(last.line) } : null;
  const want = readHead(stored);
  const isCut = want !== null && (head === null || want.seq > head.seq);
  const isOther = want !== null && head !== null && want.seq <= head.seq && want.hash !== head.hash;
  const found = breaksIn(newest);
  const breaks = found.join('; ');
  const isBroken = breaks !== '' && breaks !== named;
  if (!isCut && !isOther && !isBroken) return { head, gap: null, goOnFrom: head, breaks };
  const [from, to] = [(head?.seq ?? 0) + 1, want?.seq ?? 0];
  const text = isCut
    ? `entries ${from} to ${to} of the audit chain are missing: they were here when the broker last wrote`
    : isOther
      ? `entry ${head.seq} of the audit chain is not the one that the broker last wrote`
      : `the audit chain was changed while the broker was stopped: ${found[0]}`;
  const jump = isCut ? { from, to } : { entry: head?.seq ?? 0 };
  const goOnFrom = isCut ? { seq: want.seq, hash: head?.hash ?? want.hash } : head;
  return { head, gap: gap(text, jump), goOnFrom, breaks };
}

interface KeptLine {
  readonly seq: number;
  readonly line: string;
}

/** Oldest first. */
async function newestLines(database: ChainEntries): Promise<KeptLine[]> {
  const range = { gte: RECORDS, lt: `${RECORDS}~`, reverse: true, limit: LIMITS.auditCheckedMax };
  const found: KeptLine[] = [];
  for await (const [key, line] of database.entries(range)) {
    found.push({ seq: Number(key.slice(RECORDS.length)), line: String(line) });
  }
  return found.reverse();
}

function breaksIn(lines: readonly KeptLine[]): string[] {
  const breaks: string[] = [];
  let before: ChainHead | null = null;
  for (const { seq, line } of lines) {
    try {
      const { head } = checkLine(line, before);
      if (head.seq !== seq) breaks.push(`entry ${head.seq} stands in the place of entry ${seq}`);
    } catch (error) {
      if (!(error instanceof DroverError)) throw error;
      breaks.push(error.message.replace(/^verify audit chain: /, ''));
    }
    before = { seq, hash: hashOfLine(line) };
  }
  return breaks.slice(0, BREAKS_MAX);
}

function readHead(stored: unknown): ChainHead | null {
  if (typeof stored !== 'string') return null;
  try {
    const { seq, hash } = JSON.parse(stored) as Partial<ChainHead>;
    return Number.isSafeInteger(seq) && isSha256Hex(hash ?? '')
      ? ({ seq, hash } as ChainHead)
      : null;
  } catch {
    return null; // then the records alone say how far the chain goes
  }
}
