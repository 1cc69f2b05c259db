/**
 * Adds a manifest to the log of a broker. The whole log is verified first. A head is signed only
 * after its entry is stored and was read back, so that two publishers that add at once do not both
 * sign.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import { bytesEqual, utf8 } from '../../shared/crypto/bytes.ts';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import { LOG_CHECKPOINT_TOPIC, logEntryTopic } from '../../shared/formats/topics.ts';
import { checkpointText } from '../../shared/tlog/checkpoint.ts';
import { inclusionProof, leafHash, rootOf } from '../../shared/tlog/merkle.ts';
import { formatNote, type Note } from '../../shared/tlog/note.ts';
import { signatureOf, signNote, verifierOf } from '../../shared/tlog/note-keys.ts';
import type { LogPolicy } from '../../shared/tlog/policy.ts';
import { formatLogProof } from '../../shared/tlog/proof.ts';
import type { LogBoard } from './log-board.ts';
import { needLog, openLog, openMendable, type OpenedLog } from './read-log.ts';

export interface AppendJob {
  readonly manifestBytes: Uint8Array;
  readonly origin: string;
  readonly signer: Signer;
  /** True when a new log may begin here. */
  readonly isFirst: boolean;
  /**
   * A checkpoint that the log signed: a log that extends it is signed again when its signatures are
   * bad.
   */
  readonly since: Uint8Array | null;
  readonly dryRun: boolean;
}

export interface Appended {
  readonly index: number;
  /** False when the manifest was in the log before. */
  readonly isNew: boolean;
  /** The former head had bad signatures, and the key has now signed a new one. */
  readonly isMended: boolean;
  /** Null for a dry run that would have written. */
  readonly log: OpenedLog | null;
}

/**
 * @throws DroverError LOG_ABSENT, LOG_EXISTS, LOG_INVALID, LOG_NOTE_INVALID, LOG_FULL,
 *   LOG_REWRITTEN, LOG_CONFLICT, BROKER_REFUSED, ACCESS_DENIED, BROKER_UNREACHABLE,
 *   SIGN_COMMAND_FAILED
 */
export async function appendToLog(board: LogBoard, job: AppendJob): Promise<Appended> {
  const { manifestBytes, origin, signer, dryRun } = job;
  const policy = policyOf(verifierOf('log', origin, signer.publicKey));
  const before = openBefore(board, policy, job);
  const leaves = [...(before?.leaves ?? [])];
  const leaf = leafHash(manifestBytes);
  const stands = leaves.findIndex((one) => bytesEqual(one, leaf));
  const isMended = before !== null && before.seen.fault !== null;
  // A broker keeps the lines of a head: only a larger head can bring a new signature of the log.
  if (stands >= 0 && !isMended) return { index: stands, isNew: false, isMended, log: before };
  const index = leaves.length;
  if (index >= LIMITS.logEntriesMax) {
    throw new DroverError('LOG_FULL', `add to log: it has ${countOf(index, 'entry', 'entries')}`);
  }
  if (dryRun) return { index, isNew: true, isMended, log: null };
  await board.put(logEntryTopic(index), manifestBytes);
  await assertAlone(board, { before, index, manifestBytes });
  leaves.push(leaf);
  const text = checkpointText(origin, { size: leaves.length, root: rootOf(leaves) });
  const note: Note = { text, signatures: [await signNote(text, origin, signer)] };
  await putHead(board, { note, index, manifestBytes });
  return { index, isNew: true, isMended, log: needLog(board, policy) };
}

const policyOf = (log: LogPolicy['logs'][number]): LogPolicy => ({
  ...{ logs: [log], witnesses: new Map(), groups: new Map(), quorum: null },
});

function openBefore(
  board: LogBoard,
  policy: LogPolicy,
  { isFirst, since }: AppendJob,
): OpenedLog | null {
  // With --since a head is repaired whose signatures were replaced.
  if (since === null) assertOurs(board, policy);
  if (!isFirst) {
    if (since === null || board.checkpoint === null) return needLog(board, policy);
    return openMendable(board, policy, since);
  }
  const log = openLog(board, policy);
  if (log === null) return null;
  const { origin, size } = log.checkpoint;
  throw new DroverError(
    'LOG_EXISTS',
    `begin log: ${origin} stands here with ${countOf(size, 'entry', 'entries')}`,
  );
}

/**
 * A typing error in --origin or --key must not look like a rewritten log.
 * @throws DroverError USAGE
 */
function assertOurs(board: LogBoard, { logs: [ours] }: LogPolicy): void {
  const { head } = board;
  if (!head || !ours) return;
  const hint = 'give the --origin and the --key with which this log was begun';
  if (head.origin !== ours.name) {
    const names = `got ${printable(ours.name)}, want ${printable(head.origin)}`;
    throw new DroverError('USAGE', `add to log: the log here has another --origin (${names})`, {
      hint,
    });
  }
  if (signatureOf(head.note, ours) !== 'absent') return;
  const why = 'its checkpoint is signed by another key than this --key';
  throw new DroverError('USAGE', `add to log ${printable(ours.name)}: ${why}`, { hint });
}

const conflict = (what: string): DroverError =>
  new DroverError('LOG_CONFLICT', `add to log: ${what}`);

/** Called before a head is signed: a signature can never be taken back. */
async function assertAlone(
  board: LogBoard,
  on: { before: OpenedLog | null; index: number; manifestBytes: Uint8Array },
): Promise<void> {
  await board.again();
  const { before, index, manifestBytes } = on;
  const text = board.head?.note.text ?? null;
  if (text !== (before?.checkpoint.note.text ?? null)) throw conflict('its checkpoint has changed');
  const entry = board.entries.get(index);
  if (!entry || !bytesEqual(entry, manifestBytes)) throw conflict(`entry ${index} was taken`);
}

/** On an engine that keeps whichever message comes last, an older one may arrive after ours. */
async function putHead(
  board: LogBoard,
  { note, index, manifestBytes }: { note: Note; index: number; manifestBytes: Uint8Array },
): Promise<void> {
  for (let look = 1; look <= LIMITS.logLooksMax; look += 1) {
    await board.put(LOG_CHECKPOINT_TOPIC, utf8(formatNote(note)));
    await board.again();
    const { head } = board;
    const entry = board.entries.get(index);
    const isEntry = entry !== undefined && bytesEqual(entry, manifestBytes);
    if (head?.note.text === note.text && isEntry) return;
    if (head && head.note.text !== note.text && head.size > index) {
      throw conflict('another checkpoint was published');
    }
    if (!isEntry) await board.put(logEntryTopic(index), manifestBytes);
  }
  throw new DroverError('BROKER_REFUSED', 'add to log: acknowledged, but another log is kept', {
    hint: 'check that this user may write fleet/log, and that the broker retains messages',
  });
}

/**
 * @throws DroverError DOCUMENT_TOO_LARGE when there are more signatures than an announcement can
 *   carry
 */
export function proofFrom({ leaves, checkpoint }: OpenedLog, index: number): string {
  const text = formatLogProof(index, inclusionProof(leaves, index), checkpoint.note);
  const size = utf8(text).byteLength;
  if (size <= LIMITS.logProofBytesMax) return text;
  const sizes = `got ${size} bytes, want at most ${LIMITS.logProofBytesMax}`;
  throw new DroverError('DOCUMENT_TOO_LARGE', `write proof of logging: too large (${sizes})`);
}
