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
import type { PatchCoding } from '../../shared/transfer/patch-plan.ts';
import type { ManifestFields } from '../../shared/formats/manifest.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { cutChunks } from './fleet.ts';

/** The patch file from one tar to another. */
/** @param bounds those of robots when they are left out */
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
  /** What the manifest of the target says with it. */
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
  const bytes = patch ?? (await patchBetween(base, target));
  const { index, chunks } = cutChunks(bytes, LIMITS.chunkBytesMin);
  const sha256 = sha256Hex(bytes);
  const [fromTarSha256, tarSha256] = [sha256Hex(base), sha256Hex(target)];
  const size = bytes.byteLength;
  const tarBytes = target.byteLength;
  const delta = { from_version: from.version, from_tar_sha256: fromTarSha256, sha256, size };
  return {
    patch: bytes,
    manifest: { payload_tar_sha256: tarSha256, payload_tar_size: tarBytes, deltas: [delta] },
    artifact: {
      ...{ kind: 'zstd-patch', sha256, size },
      ...{ chunk_size: LIMITS.chunkBytesMin, chunk_index: index },
    },
    chunks,
    offer: {
      ...{
        coding: 'zstd',
        fromVersion: from.version,
        fromTarSha256,
        tarSha256,
        tarBytes,
        sha256,
        bytes: size,
      },
      ...{ chunkBytes: LIMITS.chunkBytesMin, chunkIndex: index },
    },
  };
}
