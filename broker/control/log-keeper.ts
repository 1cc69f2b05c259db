/**
 * Decides which messages of the transparency log a broker accepts: entries at the end of the log,
 * and checkpoints that contain all entries of the checkpoint before. No log key is accepted that
 * did not sign before, and a checkpoint of the same size keeps every signature, so the first key
 * can always sign the next checkpoint. A broker that has a policy accepts only signature lines that
 * are valid under its keys, so that no other signer takes the place of a witness. A broker without
 * a policy verifies no line; readers of the log do that. Sans-I/O.
 */

import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import type { Topic } from '../../shared/formats/topics.ts';
import { readCheckpoint, type Checkpoint } from '../../shared/tlog/checkpoint.ts';
import { leafHash, rootOf } from '../../shared/tlog/merkle.ts';
import { signatureOf } from '../../shared/tlog/note-keys.ts';
import { seenBy, type LogPolicy } from '../../shared/tlog/policy.ts';

export type LogTopic = Extract<Topic, { kind: 'log-checkpoint' | 'log-entry' }>;

export const isLogTopic = (topic: Topic): topic is LogTopic =>
  topic.kind === 'log-checkpoint' || topic.kind === 'log-entry';

/** The log as this broker stores it now. */
export interface KeptLog {
  readonly checkpoint: Uint8Array | null;
  /** Keys of the log and its witnesses; null when this broker has none. */
  readonly policy?: LogPolicy | null;
  entry(index: number): Uint8Array | null;
}

/**
 * [P-14.7]
 * @throws DroverError LOG_APPEND_ONLY, LOG_FULL, LOG_NOTE_INVALID, and those of a manifest
 */
export function judgeLogMessage(topic: LogTopic, payload: Uint8Array, kept: KeptLog): void {
  const head = kept.checkpoint && nullIfRefused(() => readCheckpoint(kept.checkpoint ?? payload));
  if (topic.kind === 'log-entry') judgeEntry(topic.index, payload, { kept, head });
  else judgeHead(payload, { kept, head });
}

interface Known {
  readonly kept: KeptLog;
  readonly head: Checkpoint | null;
}

const no = (why: string): DroverError =>
  new DroverError('LOG_APPEND_ONLY', `keep the transparency log: ${why}`);

/**
 * An entry that no checkpoint covers yet may be replaced: its writer may have died before signing
 * one.
 */
function judgeEntry(index: number, payload: Uint8Array, { kept, head }: Known): void {
  const size = head?.size ?? 0;
  if (index < size) {
    const stands = kept.entry(index);
    // A lost entry is accepted again: the head proves whether it is the same.
    if (stands === null || bytesEqual(stands, payload)) return;
    throw no(`entry ${index} stands with other bytes`);
  }
  if (index > size) throw no(`entry ${index} leaves a gap (want ${size})`);
  if (index >= LIMITS.logEntriesMax) {
    throw new DroverError(
      'LOG_FULL',
      `keep log entry ${index}: want at most ${LIMITS.logEntriesMax}`,
    );
  }
  if (payload.byteLength > 0) parseManifest(payload);
}

function judgeHead(payload: Uint8Array, { kept, head }: Known): void {
  if (payload.byteLength === 0) throw no('its checkpoint is not cleared');
  const next = readCheckpoint(payload);
  const { policy = null } = kept;
  if (policy) assertProven(next, policy);
  // Lines without a key of the policy were stored before this broker had a policy: they may go.
  const before = head && policy ? provenOf(head, policy) : head;
  if (head !== null) {
    if (next.origin !== head.origin) throw no('another log stands here');
    const sizes = `got ${next.size} entries, want at least ${head.size}`;
    if (next.size < head.size) throw no(`a newer checkpoint stands (${sizes})`);
    if (next.size === head.size) {
      if (next.note.text !== head.note.text) throw no('another checkpoint of this size stands');
      return assertOnlyCosigned(next, before ?? head);
    }
  }
  assertOfItsKey(next, before);
  const leaves: Uint8Array[] = [];
  for (let index = 0; index < next.size; index += 1) {
    const entry = kept.entry(index);
    if (entry === null) throw no(`entry ${index} of the checkpoint is not here`);
    leaves.push(leafHash(entry));
  }
  if (!bytesEqual(rootOf(leaves), next.root)) throw no('the checkpoint is not of these entries');
}

/** [P-14.7] */
function assertProven(next: Checkpoint, policy: LogPolicy): void {
  const { fault } = seenBy(next, policy);
  if (fault !== null) throw no(fault);
  const { signatures } = provenOf(next, policy).note;
  const junk = next.note.signatures.find((line) => !signatures.includes(line));
  if (!junk) return;
  throw no(`no key of the policy signed the line of ${printable(junk.name)}`);
}

/**
 * True for a checkpoint of the same text that has all proven lines of the one before, lines of
 * other keys that are not of its origin, and room for another witness. A broker whose policy names
 * more witnesses takes it, so an attached broker lets it stand.
 */
export function addsOnlyLines(payload: Uint8Array, before: Uint8Array, policy: LogPolicy): boolean {
  const found = nullIfRefused(() => {
    const [next, head] = [readCheckpoint(payload), readCheckpoint(before)];
    if (next.note.text !== head.note.text || seenBy(next, policy).fault !== null) return false;
    assertOnlyCosigned(next, provenOf(head, policy));
    return next.note.signatures.length < LIMITS.logSignaturesMax;
  });
  return found ?? false;
}

/** Returns the checkpoint with only the lines that are valid under keys of the policy. */
function provenOf(head: Checkpoint, policy: LogPolicy): Checkpoint {
  const { note } = head;
  const keys = [...policy.logs, ...policy.witnesses.values()].filter(
    (key) => signatureOf(note, key) === 'holds',
  );
  const signatures = note.signatures.filter(({ name, keyId }) =>
    keys.some((key) => key.name === name && key.keyId === keyId),
  );
  return { ...head, note: { ...note, signatures } };
}

const keysOfLog = ({ origin, note }: Checkpoint): string[] =>
  note.signatures.filter(({ name }) => name === origin).map(({ keyId }) => keyId);

/**
 * Asserts that only witnesses added lines. A false line for the key of the log would make the log
 * unreadable for all readers.
 */
function assertOnlyCosigned(next: Checkpoint, head: Checkpoint): void {
  const after = next.note.signatures;
  for (const { name, keyId, bytes } of head.note.signatures) {
    const same = after.find((one) => one.name === name && one.keyId === keyId);
    if (!same || !bytesEqual(same.bytes, bytes)) throw no('a signature line of it would be lost');
  }
  if (keysOfLog(next).length > keysOfLog(head).length) throw no('another key signs for its origin');
}

/**
 * Compares keys by their id, not by their signature: no later checkpoint can then exclude the key
 * that began the log.
 */
function assertOfItsKey(next: Checkpoint, head: Checkpoint | null): void {
  const before = head === null ? [] : keysOfLog(head);
  const now = keysOfLog(next);
  if (now.length === 0) throw no('no key of its origin has signed the checkpoint');
  if (before.length === 0 || now.every((keyId) => before.includes(keyId))) return;
  throw no('another key than before signs for its origin');
}
