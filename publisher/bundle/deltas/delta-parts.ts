/**
 * Checks the deltas of a bundle: each is what the manifest says, and makes the tar or the system
 * image inside the payload. A robot that takes a delta never sees the payload, so the two must not
 * differ.
 */

import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes } from '../../../shared/base/byte-sizes.ts';
import { deltaPartName } from '../../../shared/formats/bundle-parts.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { Sha256Stream } from '../../../shared/crypto/hash.ts';
import type { Bundle } from '../../../shared/io/bundle-folder.ts';
import { SLOT_IMAGE } from '../../../shared/formats/apply-strategy.ts';
import { deltaResultOf, type ManifestDelta } from '../../../shared/formats/manifest.ts';
import { readPatchPlan } from '../../../shared/transfer/patch-apply.ts';
import { freshBytesOf, rangeBytes } from '../../../shared/transfer/patch-plan.ts';
import { unpackImage } from './unpack-image.ts';
import { unpackTar } from './unpack-tar.ts';

export type Delta = ManifestDelta;

/** Says of each coding which robots can read it. */
export const DELTA_WORDS = { zstd: 'with zstd', add: 'without zstd' } as const;

/** @param payloadBytes of the payload that a robot without the base takes */
export function deltaLine(
  { from_version: from, coding, size }: Pick<Delta, 'from_version' | 'coding' | 'size'>,
  payloadBytes: number,
): string {
  const sizes = `${formatBytes(size)} in place of ${formatBytes(payloadBytes)}`;
  return `delta from ${from}: ${sizes}, ${DELTA_WORDS[coding]}`;
}

export interface DeltaPart {
  readonly delta: Delta;
  readonly path: string;
  readonly segments: number;
  /** Largest memory that a robot's zstd needs to apply it. */
  readonly memoryBytes: number;
}

/** Deltas of the manifest whose file is present: a bundle may travel without them. */
export async function presentDeltas(bundle: Bundle): Promise<{ delta: Delta; path: string }[]> {
  const found = [];
  for (const delta of bundle.manifest.deltas) {
    const path = join(bundle.folder, deltaPartName(delta));
    const part = await stat(path).catch(() => null); // an absent file is no delta
    if (part?.isFile()) found.push({ delta, path });
  }
  return found;
}

/**
 * Every delta that is present, and the tar or image of the payload when there is one.
 * @throws DroverError DELTA_INVALID, PAYLOAD_HASH_MISMATCH, ARCHIVE_CORRUPT, IMAGE_INVALID
 */
export async function checkDeltas(bundle: Bundle): Promise<DeltaPart[]> {
  const present = await presentDeltas(bundle);
  if (present.length === 0) return [];
  const { manifest, payloadPath } = bundle;
  const isImage = manifest.apply_strategy === SLOT_IMAGE;
  const want = deltaResultOf(manifest);
  const found = await (isImage ? unpackImage : unpackTar)(payloadPath, null);
  if (found.sha256 !== want?.sha256 || found.bytes !== want.bytes) {
    const what = isImage ? 'image' : 'tar';
    throw new DroverError(
      'PAYLOAD_HASH_MISMATCH',
      `check payload of ${manifest.version}: its ${what} is not what the manifest says, so no delta can be`,
    );
  }
  const parts: DeltaPart[] = [];
  for (const { delta, path } of present) parts.push(await checkDelta(delta, path, found.bytes));
  return parts;
}

/**
 * @param resultBytes of the tar or the image that it has to make
 * @throws DroverError DELTA_INVALID
 */
export async function checkDelta(
  delta: Delta,
  path: string,
  resultBytes: number | undefined,
): Promise<DeltaPart> {
  const invalid = (why: string): DroverError =>
    new DroverError('DELTA_INVALID', `check delta from ${delta.from_version}: ${why}`);
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size !== delta.size) throw invalid(`size differs (got ${size}, want ${delta.size} bytes)`);
    const hash = new Sha256Stream();
    for await (const piece of file.createReadStream({ autoClose: false, start: 0 })) {
      hash.update(piece as Buffer);
    }
    if (hash.digestHex() !== delta.sha256) throw invalid('hash differs from the manifest');
    const { coding, segments, targetBytes } = await readPatchPlan({
      bytes: size,
      read: async (into, at) => (await file.read(into, 0, into.byteLength, at)).bytesRead,
    });
    if (targetBytes !== resultBytes) throw invalid('what it makes is of another size');
    if (coding !== delta.coding) throw invalid(`it is of another kind (got ${coding})`);
    const memory = segments.map((one) => freshBytesOf(one) + rangeBytes(one.dictionary));
    return { delta, path, segments: segments.length, memoryBytes: Math.max(0, ...memory) };
  } finally {
    await file.close();
  }
}
