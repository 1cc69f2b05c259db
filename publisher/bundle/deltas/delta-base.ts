/**
 * Reads the base of a delta: an older bundle, or a bare tar with its version. A bundle is checked
 * against its manifest first: a delta from bytes that no robot runs is useless.
 */

import { openBundle, type Bundle } from '../../../shared/io/bundle-folder.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { BaseLabels, BaseWords } from './plan-deltas.ts';
import { hashPayload } from '../payload.ts';
import { unpackTar, type HashedTar } from './unpack-tar.ts';

export interface DeltaBase extends BaseLabels {
  /** Writes the tar to a new file. */
  unpack(out: string): Promise<HashedTar>;
  close(): Promise<void>;
}

/** @throws DroverError of opening a bundle; USAGE for a file that is no bundle */
export async function openDeltaBase({ version, path }: BaseWords): Promise<DeltaBase> {
  if (version === null) return bundleBase(await openBundle(path, { unsigned: true }));
  return {
    version,
    name: null,
    arch: null,
    unpack: (out) => unpackTar(path, out),
    close: async () => undefined,
  };
}

function bundleBase(bundle: Bundle): DeltaBase {
  const { version, name, target_arch: arch, payload_tar_sha256: want } = bundle.manifest;
  return {
    version,
    name,
    arch,
    unpack: async (out) => {
      await hashPayload(bundle);
      const tar = await unpackTar(bundle.payloadPath, out);
      if (want === undefined || tar.sha256 === want) return tar;
      throw new DroverError(
        'PAYLOAD_HASH_MISMATCH',
        `build: the tar of ${version} is not what its manifest says`,
      );
    },
    close: () => bundle.close(),
  };
}
