/** Real deltas for tests, made by the publisher's own maker and the real zstd. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { SegmentBounds } from '../../publisher/bundle/deltas/plan-patch.ts';
import { makePatch } from '../../publisher/bundle/deltas/make-patch.ts';
import type { DeltaOffer } from '../../robot-client/update/job-parts.ts';
import type { RolloutFields } from '../../shared/formats/announcement.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import type { Readable } from '../../shared/transfer/patch-apply.ts';
import type { PatchCoding } from '../../shared/transfer/patch-plan.ts';
import type { ManifestFields } from '../../shared/formats/manifest.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { cutChunks } from './fleet.ts';

/** Bytes that are read as a file is. */
export const inMemory = (bytes: Uint8Array): Readable & { bytes: number } => ({
  bytes: bytes.byteLength,
  read: async (into, at) => {
    const piece = bytes.subarray(at, at + into.byteLength);
    into.set(piece);
    return piece.byteLength;
  },
});

/**
 * The patch file from one tar to another.
 * @param bounds those of robots when they are left out
 */
export async function patchBetween(
  base: Uint8Array,
  target: Uint8Array,
  bounds?: SegmentBounds,
  coding: PatchCoding = 'zstd',
): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), `drover-delta-${randomBytes(4).toString('hex')}-`));
  try {
    const [basePath, targetPath] = [join(folder, 'base.tar'), join(folder, 'target.tar')];
    await writeFile(basePath, base);
    await writeFile(targetPath, target);
    const out = join(folder, 'patch');
    const job = {
      coding,
      zstd: 'zstd',
      basePath,
      targetPath,
      out,
      scratch: folder,
      onBytes: () => {},
    };
    await makePatch({ ...job, ...(bounds && { bounds }) });
    return new Uint8Array(await readFile(out));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface TestDelta {
  readonly patch: Uint8Array;
  /** The fields of the target's manifest that belong to the delta. */
  readonly manifest: Partial<ManifestFields>;
  readonly artifact: RolloutFields['artifacts'][number];
  readonly chunks: ReadonlyMap<Sha256Hex, Uint8Array>;
  readonly offer: DeltaOffer;
}

/** @param payloads two payload.tar.gz; `patch` stands in for the real one */
export async function makeDelta(
  from: { version: string; payload: Uint8Array },
  payload: Uint8Array,
  patch?: Uint8Array,
): Promise<TestDelta> {
  const [base, target] = [gunzipSync(from.payload), gunzipSync(payload)];
  const delta = await deltaBetween({ version: from.version, bytes: base }, target, { patch });
  const { tarSha256, tarBytes } = delta.offer;
  const tar = { payload_tar_sha256: tarSha256, payload_tar_size: tarBytes };
  return { ...delta, manifest: { ...tar, ...delta.manifest } };
}

/** @param options the coding is zstd, and the patch the real one, when they are left out */
export async function deltaBetween(
  from: { version: string; bytes: Uint8Array },
  target: Uint8Array,
  options: { coding?: PatchCoding; patch?: Uint8Array | undefined } = {},
): Promise<TestDelta> {
  const { coding = 'zstd' } = options;
  const bytes = options.patch ?? (await patchBetween(from.bytes, target, undefined, coding));
  const { index, chunks } = cutChunks(bytes, LIMITS.chunkBytesMin);
  const sha256 = sha256Hex(bytes);
  const [fromTarSha256, tarSha256] = [sha256Hex(from.bytes), sha256Hex(target)];
  const size = bytes.byteLength;
  const tarBytes = target.byteLength;
  const delta = { from_version: from.version, from_tar_sha256: fromTarSha256, sha256, size };
  return {
    patch: bytes,
    manifest: { [coding === 'zstd' ? 'deltas' : 'add_deltas']: [delta] },
    artifact: {
      ...{ kind: 'zstd-patch', sha256, size },
      ...{ chunk_size: LIMITS.chunkBytesMin, chunk_index: index },
    },
    chunks,
    offer: {
      ...{ coding, fromVersion: from.version, fromTarSha256, tarSha256, tarBytes },
      ...{ sha256, bytes: size },
      ...{ chunkBytes: LIMITS.chunkBytesMin, chunkIndex: index },
    },
  };
}
