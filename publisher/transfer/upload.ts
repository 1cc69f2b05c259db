/**
 * Sends pieces to a broker, a window of them unacknowledged at a time, and continues after a lost
 * link as long as there is progress between losses. Memory is the window, whatever the payload.
 */

import { countOf } from '../../shared/base/printable.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { BrokerLink } from './broker-link.ts';
import type { Piece } from '../bundle/payload.ts';

export interface UploadJob {
  readonly link: BrokerLink;
  readonly pieces: readonly Piece[];
  readonly read: (piece: Piece) => Promise<Uint8Array>;
  /** Called at the PUBACK of each piece. */
  readonly onAcknowledged: (piece: Piece) => Promise<void>;
}

/**
 * Resolves when every piece is acknowledged.
 * @throws DroverError UPLOAD_INCOMPLETE, or the broker's refusal (STORE_FULL, ACCESS_DENIED,
 *   CHUNK_TOO_LARGE, …)
 */
export async function uploadPieces(job: UploadJob): Promise<void> {
  const queue = [...job.pieces];
  let failures = 0;
  while (queue.length > 0) {
    const before = queue.length;
    const cut = await sendUntilCut(job, queue);
    if (cut === null) continue;
    failures = queue.length < before ? 1 : failures + 1;
    if (failures < LIMITS.uploadAttemptsMax) continue;
    throw new DroverError(
      'UPLOAD_INCOMPLETE',
      `upload: the link broke ${countOf(failures, 'time')} without progress, ${countOf(queue.length, 'chunk is', 'chunks are')} left: ${cut.message}`,
      { cause: cut, facts: { left: queue.length } },
    );
  }
}

/**
 * Takes pieces off the queue and puts unacknowledged ones back.
 * @returns why it ended early, or null when the queue is empty
 */
async function sendUntilCut(job: UploadJob, queue: Piece[]): Promise<DroverError | null> {
  let cut: DroverError | null = null;
  let isOver = false;
  let giveUp: (error: unknown) => void = () => undefined;
  const refused = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  const worker = async (): Promise<void> => {
    while (cut === null && !isOver) {
      const piece = queue.shift();
      if (piece === undefined) return;
      try {
        const bytes = await job.read(piece);
        await withinMs(
          LIMITS.uploadAckMsMax,
          job.link.wire.send(chunkTopic(piece.hash), bytes, { retain: true, qos: 1 }),
          piece,
        );
      } catch (error) {
        queue.unshift(piece);
        if (error instanceof DroverError && error.code === 'BROKER_UNREACHABLE') {
          cut = error;
          return;
        }
        isOver = true;
        giveUp(error);
        return;
      }
      await job.onAcknowledged(piece);
    }
  };
  try {
    await job.link.waitUp();
  } catch (error) {
    if (error instanceof DroverError && error.code === 'BROKER_UNREACHABLE') return error;
    throw error;
  }
  const window = Math.min(LIMITS.uploadWindow, queue.length);
  // A refusal ends the upload at once: its neighbours may wait for ever for their PUBACK.
  await Promise.race([Promise.all(Array.from({ length: window }, worker)), refused]);
  return cut;
}

async function withinMs(ms: number, sent: Promise<void>, piece: Piece): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new DroverError(
          'UPLOAD_INCOMPLETE',
          `upload chunk ${shortHash(piece.hash)}: no acknowledgement for ${ms / 1000} s`,
        ),
      );
    }, ms);
  });
  try {
    await Promise.race([sent, late]);
  } finally {
    clearTimeout(timer);
    sent.catch(() => undefined); // when the deadline won, this promise has no other reader
  }
}
