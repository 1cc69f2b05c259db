/**
 * Makes a bundle folder from what a broker holds: the manifest and signatures of a rollout, and its
 * files chunk by chunk, each checked by its hash. The caller verifies the release signatures
 * afterwards, as for any folder.
 */

import { mkdir, open, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Artifact, Rollout, StoredFile } from '../../shared/formats/announcement.ts';
import { attachmentPartName, isAttachmentKind } from '../../shared/formats/attachments.ts';
import {
  COSIGNATURES_FILE,
  deltaPartName,
  LOG_PROOF_FILE,
  MANIFEST_FILE,
  PAYLOAD_FILE,
  SIGNATURE_FILE,
} from '../../shared/formats/bundle-parts.ts';
import { concatBytes } from '../../shared/crypto/bytes.ts';
import {
  chunkLength,
  parseChunkIndex,
  type ChunkIndex,
} from '../../shared/transfer/chunk-index.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { shortHash, type Sha256Hex } from '../../shared/base/ids.ts';
import { readBack } from '../../shared/io/read-back.ts';
import type { Log } from '../../shared/base/ports.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseManifest, type Manifest } from '../../shared/formats/manifest.ts';
import type { BrokerLink } from '../transfer/broker-link.ts';
import { writeFailure } from '../transfer/file-parts.ts';
import type { Meter } from '../bundle/progress-meter.ts';

export interface FetchJob {
  readonly link: BrokerLink;
  readonly rollout: Rollout;
  /** Created here, with its parents. */
  readonly folder: string;
  readonly meter: (label: string, bytesTotal: number) => Meter;
  readonly log: Log;
}

/** @throws DroverError CHUNK_UNAVAILABLE, CHUNK_INDEX_INVALID, DISK_FULL, FILE_UNREADABLE, and
 * those of the link */
export async function fetchBundle({ link, rollout, folder, meter, log }: FetchJob): Promise<void> {
  const manifest = parseManifest(rollout.manifest);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, MANIFEST_FILE), rollout.manifest);
    await writeFile(join(folder, SIGNATURE_FILE), rollout.signature);
    if (rollout.cosignatures.length > 0) {
      await writeFile(join(folder, COSIGNATURES_FILE), concatBytes(...rollout.cosignatures));
    }
    if (rollout.log_proof !== undefined) {
      await writeFile(join(folder, LOG_PROOF_FILE), rollout.log_proof);
    }
    const fetchOne = async (file: StoredFile, part: string): Promise<void> => {
      const bar = meter(`fetch ${manifest.version}`, file.size);
      try {
        await fetchFile({ link, file, path: join(folder, part), meter: bar });
      } finally {
        bar.stop();
      }
    };
    for (const artifact of rollout.artifacts) {
      const part = partOf(artifact, manifest);
      if (part === null) continue; // the manifest does not name this delta: no robot would take it
      await fetchOne(artifact, part);
    }
    for (const attached of rollout.attachments) {
      if (!isAttachmentKind(attached.kind)) continue;
      const part = attachmentPartName(attached.kind);
      try {
        await fetchOne(attached, part);
      } catch (error) {
        // Robots do without it, so a site that has lost it exports the rest.
        if (!(error instanceof DroverError) || error.code !== 'CHUNK_UNAVAILABLE') throw error;
        await rm(join(folder, part), { force: true });
        log.warn(
          { attachment: attached.kind, problem: toProblem(error) },
          'left out of the export',
        );
      }
    }
  } catch (cause) {
    throw writeFailure(folder, cause);
  }
}

function partOf(artifact: Artifact, manifest: Manifest): string | null {
  if (artifact.kind === 'full') return PAYLOAD_FILE;
  const delta = manifest.deltas.find((one) => one.sha256 === artifact.sha256);
  return delta ? deltaPartName(delta) : null;
}

async function fetchFile(job: {
  link: BrokerLink;
  file: StoredFile;
  path: string;
  meter: Meter;
}): Promise<void> {
  const { file: stored, link } = job;
  let indexBytes = new Uint8Array();
  await pull(link, { stored, hashes: [stored.chunk_index] }, (_, bytes) => {
    indexBytes = new Uint8Array(bytes);
  });
  const index = parseChunkIndex(indexBytes, stored);
  const places = new Map<Sha256Hex, number[]>();
  index.chunks.forEach((hash, at) => places.set(hash, [...(places.get(hash) ?? []), at]));
  await mkdir(dirname(job.path), { recursive: true });
  const file = await open(job.path, 'w');
  try {
    await pull(link, { stored, hashes: [...places.keys()] }, async (hash, bytes) => {
      for (const at of places.get(hash) ?? []) await writeChunk(file, index, { at, bytes });
      job.meter.add(bytes.byteLength);
    });
  } finally {
    await file.close();
  }
}

async function writeChunk(
  file: FileHandle,
  index: ChunkIndex,
  { at, bytes }: { at: number; bytes: Uint8Array },
): Promise<void> {
  const want = chunkLength(index, at);
  if (bytes.byteLength !== want) {
    const sizes = `got ${bytes.byteLength} bytes, want ${want}`;
    throw new DroverError('CHUNK_INDEX_INVALID', `fetch chunk ${at}: wrong length (${sizes})`);
  }
  await file.write(bytes, 0, want, at * index.chunkBytes);
}

async function pull(
  link: BrokerLink,
  { stored, hashes }: { stored: StoredFile; hashes: readonly Sha256Hex[] },
  onPresent: (hash: Sha256Hex, bytes: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const missing = await readBack(link, {
    hashes,
    chunkBytes: stored.chunk_size,
    patienceMs: LIMITS.storeCheckPatienceMs,
    onPresent,
  });
  const [first] = missing;
  if (first === undefined) return;
  const which = `${missing.length} of ${hashes.length}, the first is ${shortHash(first)}`;
  throw new DroverError('CHUNK_UNAVAILABLE', `fetch chunks: the broker does not send ${which}`);
}
