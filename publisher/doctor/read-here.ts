/** Reads the facts of this machine: its disk, key files, and a bundle. It writes nothing. */

import { statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { publicKeyOf } from '../../shared/crypto/ed25519.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { openModeOf, readSeeds } from '../../shared/io/key-file.ts';
import { checkBundle } from '../bundle/check-bundle.ts';
import {
  factOf,
  unknown,
  type ExaminedBundle,
  type Fact,
  type DoctorFacts,
  type KeyFact,
} from './facts.ts';

/** The disk of the folder that commands are run in, which is where bundles are written. */
export function readDisk(folder: string): Promise<DoctorFacts['disk']> {
  return factOf(async () => {
    try {
      const { bavail: blocks, bsize: blockBytes } = await statfs(folder);
      return { folder: resolve(folder), freeBytes: blocks * blockBytes };
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DroverError('FILE_UNREADABLE', `read free space of ${folder}: ${why}`, { cause });
    }
  });
}

export async function readKey(path: string): Promise<KeyFact> {
  const key = await factOf(async () => {
    const sources = { files: [path], commands: [], environment: undefined };
    const [seed] = await readSeeds(sources, () => undefined); // the mode is a fact below
    return { publicKey: publicKeyOf(seed as Uint8Array), openMode: openModeOf(path) };
  });
  return { path, key };
}

/** Reads every byte of it, as `drover verify` does. */
export async function readBundle(
  path: string | undefined,
  trust: Fact<TrustRoot>,
): Promise<Fact<ExaminedBundle>> {
  if (path === undefined) return unknown('none was given');
  if (trust.kind !== 'known') {
    return unknown('its signatures cannot be checked without a trust.json (--trust)');
  }
  return await factOf(async () => {
    const { manifest, logProof } = await checkBundle(path, { trust: trust.value });
    return { manifest, hasLogProof: logProof !== null };
  });
}
