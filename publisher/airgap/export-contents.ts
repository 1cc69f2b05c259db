/**
 * Turns a verified bundle into members of an export: each part with its size and hash, read when it
 * is written.
 */

import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import { deltaPartName, PAYLOAD_FILE } from '../../shared/formats/bundle-parts.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { sha256OfFile, type Bundle } from '../../shared/io/bundle-folder.ts';
import { listParts } from '../../shared/io/bundle-tar.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { bundleMember } from './parcel.ts';
import type { Content } from './parcel-writer.ts';
import { checkAttachments } from '../bundle/attachments.ts';
import { readLogProof } from '../bundle/log-proof-part.ts';
import { hashPayload } from '../bundle/payload.ts';

/** A member that is in memory already. */
export function contentOf(name: string, bytes: Uint8Array): Content {
  const member = { name, size: bytes.byteLength, sha256: sha256Hex(bytes) };
  return { member, read: () => [bytes] };
}

/**
 * @param at number of the bundle in the export
 * @throws DroverError of the bundle, its signatures and its payload
 */
export async function bundleContents(
  bundle: Bundle,
  trust: TrustRoot,
  at: number,
): Promise<Content[]> {
  const payloadSha256 = await hashPayload(bundle);
  const { manifestBytes, signatures, manifest, folder } = bundle;
  verifyBundle({ manifestBytes, signatures, trust, payloadSha256 });
  await checkAttachments(bundle);
  await readLogProof(bundle);
  const contents: Content[] = [];
  for (const { name, bytes } of await listParts(folder, manifest)) {
    const path = join(folder, name);
    const sha256 = name === PAYLOAD_FILE ? payloadSha256 : await sha256OfFile(path);
    const delta = manifest.deltas.find((one) => name === deltaPartName(one));
    if (delta && (delta.sha256 !== sha256 || delta.size !== bytes)) {
      throw new DroverError(
        'PAYLOAD_HASH_MISMATCH',
        `check ${name} of ${manifest.version}: it is not the one that the manifest names`,
      );
    }
    const member = { name: bundleMember(at, name), size: bytes, sha256 };
    contents.push({ member, read: () => createReadStream(path) });
  }
  return contents;
}
