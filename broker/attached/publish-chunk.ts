/** A chunk, or an empty message that clears one, retained by an engine of somebody else. */

import { DroverError } from '../../shared/base/errors.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';

/** @throws DroverError BROKER_UNREACHABLE, UPLOAD_INCOMPLETE when the engine does not answer */
export async function publishChunk(wire: Wire, hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const why = `no acknowledgement for ${LIMITS.uploadAckMsMax / 1000} s`;
    const fail = (): void =>
      reject(new DroverError('UPLOAD_INCOMPLETE', `publish chunk ${shortHash(hash)}: ${why}`));
    timer = setTimeout(fail, LIMITS.uploadAckMsMax);
  });
  const sent = wire.send(chunkTopic(hash), bytes, { retain: true, qos: 1 });
  try {
    await Promise.race([sent, late]);
  } finally {
    clearTimeout(timer);
    sent.catch(() => undefined); // when the deadline won, nobody else is waiting for this
  }
}
