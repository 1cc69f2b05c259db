/**
 * A witness: cosigns a head of the log only when it extends the head that it cosigned before. It
 * writes the head to its disk before it publishes the signature.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { bytesEqual, utf8 } from '../../shared/crypto/bytes.ts';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import { LOG_CHECKPOINT_TOPIC } from '../../shared/formats/topics.ts';
import {
  formatNote,
  withSignature,
  type Note,
  type NoteSignature,
} from '../../shared/tlog/note.ts';
import { cosignNote, signatureOf, verifierOf } from '../../shared/tlog/note-keys.ts';
import type { LogPolicy } from '../../shared/tlog/policy.ts';
import type { LogBoard } from './log-board.ts';
import { assertExtends, needLog, openOlder, type OpenedLog } from './read-log.ts';

export interface WitnessJob {
  readonly policy: LogPolicy;
  readonly name: string;
  readonly signer: Signer;
  /** The head that it cosigned last; null the first time. */
  readonly state: Uint8Array | null;
  readonly nowMs: number;
  /** Durable when it resolves. */
  keep(state: Uint8Array): Promise<void>;
}

export interface Witnessed {
  readonly log: OpenedLog;
  /** Entries of the last run; null the first time. */
  readonly sinceSize: number | null;
  /** False when its cosignature was there already. */
  readonly isNew: boolean;
}

/**
 * @throws DroverError LOG_ABSENT, LOG_INVALID, LOG_REWRITTEN, LOG_NOTE_INVALID, LOG_CONFLICT,
 *   BROKER_REFUSED, ACCESS_DENIED, BROKER_UNREACHABLE, SIGN_COMMAND_FAILED
 */
export async function witnessLog(board: LogBoard, job: WitnessJob): Promise<Witnessed> {
  const { policy, name, signer } = job;
  // False cosignatures do not stop this one: they go with the next head.
  const logs: LogPolicy = { ...policy, witnesses: new Map(), quorum: null };
  const log = needLog(board, logs);
  const older = job.state && openOlder(job.state, logs);
  if (older) assertExtends(log, older);
  const sinceSize = older?.size ?? null;
  const { note } = log.checkpoint;
  const verifier = verifierOf('witness', name, signer.publicKey);
  if (signatureOf(note, verifier) === 'holds') {
    await job.keep(utf8(formatNote(note)));
    return { log, sinceSize, isNew: false };
  }
  const mine = await cosignNote(note.text, { name, signer, atMs: job.nowMs });
  await job.keep(utf8(formatNote(withSignature(note, mine))));
  await putCosigned(board, note, mine);
  return { log: needLog(board, logs), sinceSize, isNew: true };
}

/**
 * Two witnesses that cosign at once must not remove each other's line: each adds to what is there.
 */
async function putCosigned(board: LogBoard, note: Note, mine: NoteSignature): Promise<void> {
  let stands = note;
  let refusal: unknown;
  for (let look = 1; look <= LIMITS.logLooksMax; look += 1) {
    const bytes = utf8(formatNote(withSignature(stands, mine)));
    // drover-broker refuses a head that lacks a line which arrived meanwhile: it is read again.
    refusal = await board.put(LOG_CHECKPOINT_TOPIC, bytes).then(() => null, onlyConflict);
    await board.again();
    const { head } = board;
    if (head?.note.text !== note.text) {
      throw new DroverError('LOG_CONFLICT', 'witness log: its checkpoint has changed meanwhile');
    }
    if (hasLine(head.note, mine)) return;
    stands = head.note;
  }
  if (refusal instanceof DroverError) throw refusal;
  throw new DroverError('BROKER_REFUSED', 'witness log: acknowledged, but not kept', {
    hint: 'check that this user may write fleet/log, and that the broker retains messages',
  });
}

function onlyConflict(error: unknown): DroverError {
  if (error instanceof DroverError && error.code === 'LOG_CONFLICT') return error;
  throw error;
}

const hasLine = ({ signatures }: Note, { name, keyId, bytes }: NoteSignature): boolean =>
  signatures.some(
    (one) => one.name === name && one.keyId === keyId && bytesEqual(one.bytes, bytes),
  );
