/**
 * Unpacks the bundles of an export into folders of a site, each under its name when it is whole
 * and a release key has vouched for it. A folder that is there already is compared, never changed,
 * but for its proof of logging: witnesses sign later than releases are made.
 * A dry run puts nothing there: it unpacks into a folder that goes with it.
 */

import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  COSIGNATURES_FILE,
  deltaPartName,
  LOG_PROOF_FILE,
  MANIFEST_FILE,
  PAYLOAD_FILE,
  SIGNATURE_FILE,
} from '../../shared/formats/bundle-parts.ts';
import { attachmentPartName, isAttachmentKind } from '../../shared/formats/attachments.ts';
import { verifyBundle, type VerifiedBundle } from '../../shared/formats/bundle-signature.ts';
import { concatBytes } from '../../shared/crypto/bytes.ts';
import { SIGNATURE_BYTES } from '../../shared/crypto/ed25519.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { syncFolder, writeFileAtomic } from '../../shared/io/atomic-file.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { openLogProof } from '../../shared/tlog/logged.ts';
import { bundlePartOf, type ParcelMember } from './parcel.ts';
import { writeFailure } from '../transfer/file-parts.ts';
import type { Meter } from '../bundle/progress-meter.ts';
import type { ParcelReader } from './parcel-reader.ts';

export interface Unpacked {
  /** Where it is kept at the site, or would be. */
  readonly folder: string;
  /** Where it is now. */
  readonly at: string;
  readonly verified: VerifiedBundle;
}

export interface UnpackJob {
  readonly reader: ParcelReader;
  readonly trust: TrustRoot;
  readonly into: string;
  /** Where a dry run puts what is not in `into` yet; null when it is none. */
  readonly scratch: string | null;
  readonly meter: Meter;
}

/** Members of each bundle, in the order of the bundles. */
function membersOf(reader: ParcelReader): Map<string, ParcelMember>[] {
  const bundles = new Map<number, Map<string, ParcelMember>>();
  for (const member of reader.index.members) {
    const place = bundlePartOf(member.name);
    if (place === null) continue;
    const parts = bundles.get(place.at) ?? new Map<string, ParcelMember>();
    bundles.set(place.at, parts.set(place.part, member));
  }
  return [...bundles.values()];
}

/** Verifies the release signatures before a byte of a payload is read. @throws DroverError */
export async function verifyBundles(reader: ParcelReader, trust: TrustRoot) {
  const found: { parts: ReadonlyMap<string, ParcelMember>; verified: VerifiedBundle }[] = [];
  for (const parts of membersOf(reader)) found.push(await verifyOne(reader, parts, trust));
  return found;
}

async function verifyOne(
  reader: ParcelReader,
  parts: ReadonlyMap<string, ParcelMember>,
  trust: TrustRoot,
) {
  const [manifest, signature] = [parts.get(MANIFEST_FILE), parts.get(SIGNATURE_FILE)];
  const payload = parts.get(PAYLOAD_FILE);
  if (!manifest || !signature || !payload) {
    throw new DroverError('BUNDLE_INCOMPLETE', 'read file: a bundle in it lacks a part');
  }
  const more = parts.get(COSIGNATURES_FILE);
  const signed = concatBytes(
    await reader.read(signature),
    more ? await reader.read(more) : new Uint8Array(),
  );
  const signatures = Array.from({ length: signed.byteLength / SIGNATURE_BYTES }, (_, at) =>
    signed.slice(at * SIGNATURE_BYTES, (at + 1) * SIGNATURE_BYTES),
  );
  const manifestBytes = await reader.read(manifest);
  const payloadSha256 = payload.sha256;
  const verified = verifyBundle({ manifestBytes, signatures, trust, payloadSha256 });
  for (const delta of verified.manifest.deltas) {
    const member = parts.get(deltaPartName(delta));
    if (!member || (member.sha256 === delta.sha256 && member.size === delta.size)) continue;
    throw new DroverError('PAYLOAD_HASH_MISMATCH', `read ${member.name}: not what was signed`);
  }
  for (const { kind, sha256, size } of verified.manifest.attachments) {
    const member = isAttachmentKind(kind) ? parts.get(attachmentPartName(kind)) : undefined;
    if (!member || (member.sha256 === sha256 && member.size === size)) continue;
    throw new DroverError('ATTACHMENT_MISMATCH', `read ${member.name}: not what was signed`);
  }
  const proof = parts.get(LOG_PROOF_FILE);
  if (proof) openLogProof(await reader.read(proof), manifestBytes);
  return { parts, verified };
}

/** @throws DroverError PARCEL_*, FILE_EXISTS, DISK_FULL, FILE_UNREADABLE */
export async function unpackBundles(
  job: UnpackJob,
  bundles: Awaited<ReturnType<typeof verifyBundles>>,
): Promise<Unpacked[]> {
  const unpacked: Unpacked[] = [];
  for (const { parts, verified } of bundles) {
    const { name, version } = verified.manifest;
    const base = `${name}-${version}`;
    const folder = join(job.into, base);
    const isThere = existsSync(folder);
    const at = isThere || job.scratch === null ? folder : join(job.scratch, base);
    try {
      if (isThere) await compareAll(job, parts, folder);
      else await unpackOne(job, parts, at);
    } catch (cause) {
      throw writeFailure(folder, cause);
    }
    unpacked.push({ folder, at, verified });
  }
  return unpacked;
}

async function unpackOne(
  job: UnpackJob,
  parts: ReadonlyMap<string, ParcelMember>,
  folder: string,
): Promise<void> {
  const beside = `${folder}.partial`;
  await rm(beside, { recursive: true, force: true });
  for (const [part, member] of parts) await copy(job, member, join(beside, part));
  await syncFolder(beside);
  await rename(beside, folder);
  await syncFolder(dirname(folder));
}

async function compareAll(
  job: UnpackJob,
  parts: ReadonlyMap<string, ParcelMember>,
  folder: string,
): Promise<void> {
  for (const [part, member] of parts) {
    const path = join(folder, part);
    if (part === LOG_PROOF_FILE) await renew(job, member, path);
    else await compare(job, member, path);
  }
}

async function renew(job: UnpackJob, member: ParcelMember, path: string): Promise<void> {
  const bytes = await job.reader.read(member);
  job.meter.add(bytes.byteLength);
  if (job.scratch === null) await writeFileAtomic(path, bytes);
}

async function copy(job: UnpackJob, member: ParcelMember, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, 'w');
  try {
    for await (const piece of job.reader.pieces(member)) {
      await file.writeFile(piece);
      job.meter.add(piece.byteLength);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Compares the bytes of the file and of the folder, read side by side. */
async function compare(job: UnpackJob, member: ParcelMember, path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    let at = 0;
    for await (const piece of job.reader.pieces(member)) {
      const mine = Buffer.alloc(piece.byteLength);
      const { bytesRead } = await file.read(mine, 0, mine.byteLength, at);
      if (bytesRead !== piece.byteLength || !mine.equals(piece)) throw otherContent(path);
      at += bytesRead;
      job.meter.add(piece.byteLength);
    }
    if ((await file.stat()).size !== member.size) throw otherContent(path);
  } finally {
    await file.close();
  }
}

function otherContent(path: string): DroverError {
  return new DroverError('FILE_EXISTS', `unpack ${path}: another file is there already`, {
    hint: 'give another --into, or remove that folder',
  });
}
