/**
 * Verifies a log from a broker: everything has to follow from its entries and the signatures under
 * its head. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { readCheckpoint, type Checkpoint } from '../../shared/tlog/checkpoint.ts';
import {
  consistencyProof,
  isConsistent,
  leafHash,
  rootOf,
  type TreeHead,
} from '../../shared/tlog/merkle.ts';
import { seenBy, type LogPolicy, type SeenCheckpoint } from '../../shared/tlog/policy.ts';

/** The log as a broker holds it, not verified. */
export interface HeldLog {
  readonly checkpoint: Uint8Array | null;
  readonly entries: ReadonlyMap<number, Uint8Array>;
}

export interface OpenedLog {
  readonly checkpoint: Checkpoint;
  readonly entries: readonly Uint8Array[];
  readonly leaves: readonly Uint8Array[];
  readonly seen: SeenCheckpoint;
}

const invalid = (why: string): DroverError => new DroverError('LOG_INVALID', `read log: ${why}`);

/**
 * @returns null when there is no log at all
 * @throws DroverError LOG_INVALID, LOG_NOTE_INVALID
 */
export function openLog(
  { checkpoint: bytes, entries }: HeldLog,
  policy: LogPolicy,
): OpenedLog | null {
  if (bytes === null) {
    // A writer that died before it signed its first head leaves the first entry.
    if ([...entries.keys()].every((index) => index === 0)) return null;
    throw invalid('there are entries and no checkpoint');
  }
  const checkpoint = readCheckpoint(bytes);
  const seen = seenBy(checkpoint, policy);
  if (seen.fault !== null) throw invalid(seen.fault);
  return { ...openEntries(checkpoint, entries), seen };
}

function openEntries(checkpoint: Checkpoint, entries: HeldLog['entries']): Omit<OpenedLog, 'seen'> {
  const held: Uint8Array[] = [];
  for (let index = 0; index < checkpoint.size; index += 1) {
    const entry = entries.get(index);
    if (entry === undefined) throw invalid(`entry ${index} of ${checkpoint.size} is not there`);
    held.push(entry);
  }
  const leaves = held.map(leafHash);
  if (!bytesEqual(rootOf(leaves), checkpoint.root)) {
    throw invalid(`its ${checkpoint.size} entries are not those that its key signed`);
  }
  return { checkpoint, entries: held, leaves };
}

/**
 * A log whose head only lacks valid signatures: its entries give its root hash, and it extends an
 * older checkpoint that the log did sign.
 * @throws DroverError LOG_INVALID, LOG_NOTE_INVALID, LOG_REWRITTEN
 */
export function openMendable(
  { checkpoint: bytes, entries }: HeldLog,
  policy: LogPolicy,
  since: Uint8Array,
): OpenedLog {
  if (bytes === null) throw invalid('there is no checkpoint');
  const checkpoint = readCheckpoint(bytes);
  const log = { ...openEntries(checkpoint, entries), seen: seenBy(checkpoint, policy) };
  assertExtends(log, openOlder(since, policy));
  return log;
}

/** @throws DroverError LOG_ABSENT, and as `openLog` */
export function needLog(held: HeldLog, policy: LogPolicy): OpenedLog {
  const log = openLog(held, policy);
  if (log) return log;
  throw new DroverError('LOG_ABSENT', 'read log: there is none on this broker');
}

/**
 * By the same proof that a reader without all entries would use.
 * @throws DroverError LOG_REWRITTEN
 */
export function assertExtends({ checkpoint, leaves }: OpenedLog, older: Checkpoint): void {
  const no = (why: string): DroverError => new DroverError('LOG_REWRITTEN', `compare logs: ${why}`);
  if (older.origin !== checkpoint.origin) throw no('the older checkpoint is of another log');
  if (older.size > checkpoint.size) {
    throw no(`it has shrunk (got ${checkpoint.size} entries, want at least ${older.size})`);
  }
  const head: TreeHead = checkpoint;
  if (isConsistent(older, head, consistencyProof(leaves, older.size))) return;
  throw no(`the first ${older.size} entries are not what they were`);
}

/**
 * An older checkpoint from a file.
 * @throws DroverError LOG_INVALID when no log of the policy signed it, LOG_NOTE_INVALID
 */
export function openOlder(bytes: Uint8Array, policy: LogPolicy): Checkpoint {
  const older = readCheckpoint(bytes);
  const { fault } = seenBy(older, policy);
  if (fault === null) return older;
  throw new DroverError('LOG_INVALID', `read older checkpoint: ${fault}`, {
    hint: 'give the file that drover log verify --save or drover log witness --state wrote for this log',
  });
}
