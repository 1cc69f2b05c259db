/**
 * The stage verify: checks the release signatures over the received payload. Each chunk was checked
 * on arrival, but against an index that only a rollout key signed; here a release key decides,
 * before anything is unpacked.
 */

import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { Disk } from '../install/disk-port.ts';
import { jobBytes, type Job } from './state.ts';

const READ_BYTES = 512 * 1024;

/**
 * [P-3.6]
 * @throws DroverError PAYLOAD_SIZE_MISMATCH, PAYLOAD_HASH_MISMATCH, or of the signatures
 */
export async function verifyPayload(input: {
  disk: Disk;
  payloadPath: string;
  job: Job;
  trust: TrustRoot;
  signal: AbortSignal;
}): Promise<void> {
  const { disk, job, signal } = input;
  const hash = new Sha256Stream();
  const file = await disk.open(input.payloadPath, 'read');
  try {
    const size = await file.size();
    if (size !== job.payloadBytes) {
      throw new DroverError(
        'PAYLOAD_SIZE_MISMATCH',
        `verify payload of ${job.version}: wrong size (got ${size}, want ${job.payloadBytes} bytes)`,
      );
    }
    const buffer = new Uint8Array(READ_BYTES);
    for (let at = 0; at < size;) {
      signal.throwIfAborted();
      const got = await file.read(buffer, at);
      if (got === 0) break;
      hash.update(buffer.subarray(0, got));
      at += got;
    }
  } finally {
    await file.close();
  }
  verifyBundle({ ...jobBytes(job), trust: input.trust, payloadSha256: hash.digestHex() });
}
