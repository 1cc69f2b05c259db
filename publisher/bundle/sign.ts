/**
 * The stage `sign`: a release key signs that this payload may run. The payload is hashed and
 * compared with the manifest first, so that a bundle whose parts do not belong together is never
 * signed. The signature covers the exact bytes of manifest.json.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { COSIGNATURES_FILE, SIGNATURE_FILE } from '../../shared/formats/bundle-parts.ts';
import { bundleMessage, signBundle } from '../../shared/formats/bundle-signature.ts';
import { bytesEqual, concatBytes } from '../../shared/crypto/bytes.ts';
import {
  SIGNATURE_BYTES,
  signatureIsValid,
  type PublicKeyHex,
  type Signer,
} from '../../shared/crypto/ed25519.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { openBundle, type Bundle } from '../../shared/io/bundle-folder.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { shellWord } from '../../shared/base/printable.ts';
import { assertNoXattrs } from './xattr-policy.ts';
import { checkDeltas } from './deltas/delta-parts.ts';
import { hashPayload } from './payload.ts';
import { countPayload } from './payload-census.ts';

export interface SignJob {
  readonly folder: string;
  readonly signers: readonly Signer[];
  /** Keeps the existing signatures and adds ours. */
  readonly add: boolean;
  /** Signs a payload of another tool although robots will not restore its attributes. */
  readonly dropXattrs?: boolean;
  readonly dryRun: boolean;
}

export interface SignedBundle {
  readonly version: string;
  readonly keys: readonly PublicKeyHex[];
  /** Number of signatures of the bundle now, or in a dry run afterwards. */
  readonly signatures: number;
}

/** @throws DroverError USAGE, PAYLOAD_HASH_MISMATCH, PAYLOAD_SIZE_MISMATCH, DELTA_INVALID,
 * XATTRS_REFUSED, those of `openBundle` and of `countPayload` */
export async function signBundleFolder(job: SignJob): Promise<SignedBundle> {
  const bundle = await openBundle(job.folder, { unsigned: !job.add });
  try {
    await hashPayload(bundle);
    const { attributed } = await countPayload(bundle);
    if (job.dropXattrs !== true) assertNoXattrs(attributed, 'sign');
    await checkDeltas(bundle);
    const signatures = job.add ? [...bundle.signatures] : [];
    if (!job.add) assertNobodyElseSigned(bundle, job.signers);
    for (const signer of job.signers) {
      const made = await signBundle(bundle.manifestBytes, bundle.manifest.payload_sha256, signer);
      if (!signatures.some((one) => bytesEqual(one, made))) signatures.push(made);
    }
    assertSignatureCount(signatures.length);
    if (!job.dryRun) await writeSignatures(bundle, signatures);
    return {
      version: bundle.manifest.version,
      keys: job.signers.map(({ publicKey }) => publicKey),
      signatures: signatures.length,
    };
  } finally {
    await bundle.close();
  }
}

/** Without `--add` alone, signatures of others are refused and not removed. */
const AFRESH = `to begin afresh, first remove ${SIGNATURE_FILE} and ${COSIGNATURES_FILE} of the bundle`;

/**
 * A second person who forgets --add would silently remove the first one's signature. Signatures of
 * our own keys are made again.
 * @throws DroverError FILE_EXISTS
 */
function assertNobodyElseSigned(bundle: Bundle, signers: readonly Signer[]): void {
  const { folder, manifestBytes, manifest, signatures } = bundle;
  const message = bundleMessage(manifestBytes, manifest.payload_sha256);
  const isOurs = (one: Uint8Array): boolean =>
    signers.some(({ publicKey }) => signatureIsValid(one, message, publicKey));
  const others = signatures.filter((one) => one.byteLength === SIGNATURE_BYTES && !isOurs(one));
  if (others.length === 0) return;
  throw new DroverError(
    'FILE_EXISTS',
    `sign ${folder}: somebody else has signed it (${others.length} of its signatures are not of these keys)`,
    {
      hint: `keep them and sign as well: drover sign ${shellWord(folder)} --add --key FILE; ${AFRESH}`,
    },
  );
}

function assertSignatureCount(count: number): void {
  if (count <= LIMITS.signaturesMax) return;
  throw new DroverError(
    'USAGE',
    `sign: too many signatures (got ${count}, want at most ${LIMITS.signaturesMax})`,
    { hint: AFRESH },
  );
}

/** Old co-signatures are removed first: a new signature is never added to invalid ones. */
async function writeSignatures(
  { folder }: Bundle,
  [first, ...more]: readonly Uint8Array[],
): Promise<void> {
  if (!first) throw new TypeError('writeSignatures: none');
  await rm(join(folder, COSIGNATURES_FILE), { force: true });
  await writeFileAtomic(join(folder, SIGNATURE_FILE), first);
  if (more.length > 0) {
    await writeFileAtomic(join(folder, COSIGNATURES_FILE), concatBytes(...more));
  }
}
