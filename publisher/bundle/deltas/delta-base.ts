/**
 * Reads the base of a delta: an older bundle, or bare bytes with their version. It is the tar of
 * the payload, or the system image in it for a bundle of an image. A bundle is checked against its
 * manifest first: a delta from bytes that no robot runs is useless.
 */

import { DroverError } from '../../../shared/base/errors.ts';
import { SLOT_IMAGE } from '../../../shared/formats/apply-strategy.ts';
import { deltaResultOf } from '../../../shared/formats/manifest.ts';
import { openBundle, type Bundle } from '../../../shared/io/bundle-folder.ts';
import type { BaseLabels, BaseWords } from './plan-deltas.ts';
import { hashPayload } from '../payload.ts';
import { copyImage, unpackImage } from './unpack-image.ts';
import { unpackTar, type HashedBytes } from './unpack-tar.ts';

export interface DeltaBase extends BaseLabels {
  /** Writes the tar, or the image, to a new file. */
  unpack(out: string): Promise<HashedBytes>;
  close(): Promise<void>;
}

/**
 * @param isImage true for the base of a system image
 * @throws DroverError of opening a bundle; USAGE for a file that is no bundle
 */
export async function openDeltaBase(
  { version, path }: BaseWords,
  isImage: boolean,
): Promise<DeltaBase> {
  if (version === null) return bundleBase(await openBundle(path, { unsigned: true }));
  return {
    version,
    name: null,
    arch: null,
    isImage,
    unpack: (out) => (isImage ? copyImage(path, out) : unpackTar(path, out)),
    close: async () => undefined,
  };
}

function bundleBase(bundle: Bundle): DeltaBase {
  const { version, name, target_arch: arch, apply_strategy: strategy } = bundle.manifest;
  const want = deltaResultOf(bundle.manifest);
  const isImage = strategy === SLOT_IMAGE;
  return {
    version,
    name,
    arch,
    isImage,
    unpack: async (out) => {
      await hashPayload(bundle);
      const read = isImage ? unpackImage : unpackTar;
      const found = await read(bundle.payloadPath, out);
      if (want === null || found.sha256 === want.sha256) return found;
      throw new DroverError(
        'PAYLOAD_HASH_MISMATCH',
        `build: the ${isImage ? 'image' : 'tar'} of ${version} is not what its manifest says`,
      );
    },
    close: () => bundle.close(),
  };
}
