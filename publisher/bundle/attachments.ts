/**
 * The attachments of a bundle folder. `build` adds them, and every command that reads a bundle
 * checks them against the hashes in its manifest.
 */

import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  assertAttachmentSize,
  attachmentPartName,
  isAttachmentKind,
  recogniseAttachment,
  type Attachment,
  type AttachmentKind,
} from '../../shared/formats/attachments.ts';
import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Bundle } from '../../shared/io/bundle-folder.ts';

export interface AttachmentSource {
  readonly kind: AttachmentKind;
  /** The file that `--sbom` or `--provenance` names. */
  readonly path: string;
}

export interface ReadAttachment {
  readonly attachment: Attachment & { readonly kind: AttachmentKind };
  readonly bytes: Uint8Array;
}

/** @throws DroverError FILE_UNREADABLE, ATTACHMENT_INVALID, DOCUMENT_TOO_LARGE */
export async function readAttachments(
  sources: readonly AttachmentSource[],
): Promise<ReadAttachment[]> {
  const read: ReadAttachment[] = [];
  for (const { kind, path } of sources) {
    const bytes = await readSource(kind, path);
    const [mediaType, size] = [recogniseAttachment(kind, bytes), bytes.byteLength];
    const attachment = { kind, media_type: mediaType, sha256: sha256Hex(bytes), size };
    read.push({ attachment, bytes });
  }
  return read;
}

/** The size is checked first, so that a wrong name does not fill the memory. */
async function readSource(kind: AttachmentKind, path: string): Promise<Uint8Array> {
  try {
    const found = await stat(path);
    if (found.isFile()) assertAttachmentSize(kind, found.size);
    else throw new DroverError('FILE_UNREADABLE', `read ${kind} ${path}: it is not a file`);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof DroverError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read ${kind} ${path}: ${why}`, { cause });
  }
}

export async function writeAttachments(
  attachments: readonly ReadAttachment[],
  folder: string,
): Promise<void> {
  for (const { attachment, bytes } of attachments) {
    const path = join(folder, attachmentPartName(attachment.kind));
    await writeFile(path, bytes, { flag: 'wx', flush: true });
  }
}

export interface AttachmentPart {
  readonly attachment: Attachment & { readonly kind: AttachmentKind };
  readonly path: string;
  /** Null when the bundle travelled without it. */
  readonly bytes: Uint8Array | null;
}

/**
 * Attachments that the manifest names and this program knows.
 * @throws DroverError ATTACHMENT_MISMATCH, FILE_UNREADABLE
 */
export async function checkAttachments({ manifest, folder }: Bundle): Promise<AttachmentPart[]> {
  const parts: AttachmentPart[] = [];
  for (const one of manifest.attachments) {
    const part = await checkAttachment(folder, one);
    if (part) parts.push(part);
  }
  return parts;
}

/**
 * @returns null for a kind that this program does not know
 * @throws DroverError ATTACHMENT_MISMATCH, FILE_UNREADABLE
 */
export async function checkAttachment(
  folder: string,
  signed: Attachment,
): Promise<AttachmentPart | null> {
  const { kind } = signed;
  if (!isAttachmentKind(kind)) return null;
  const attachment = { ...signed, kind };
  const path = join(folder, attachmentPartName(kind));
  const isThere = (await stat(path).catch(() => null))?.isFile() === true; // else it is missing
  const bytes = isThere ? await readSource(kind, path) : null;
  if (bytes !== null) assertSigned(attachment, bytes);
  return { attachment, path, bytes };
}

/** `application/spdx+json, 12.3 kB, sha256 0123456789ab` */
export const attachmentText = ({ media_type: type, size, sha256 }: Attachment): string =>
  `${type}, ${formatBytes(size)}, sha256 ${shortHash(sha256)}`;

/** @throws DroverError ATTACHMENT_MISMATCH */
function assertSigned({ kind, sha256 }: AttachmentPart['attachment'], bytes: Uint8Array): void {
  const got = sha256Hex(bytes);
  if (got === sha256) return;
  const hashes = `got ${shortHash(got)}, want ${shortHash(sha256)}`;
  throw new DroverError('ATTACHMENT_MISMATCH', `check ${kind}: its hash differs (${hashes})`);
}

/**
 * For commands that publish a bundle: every signed attachment has to be there.
 * @throws DroverError BUNDLE_INCOMPLETE, and those of `checkAttachments`
 */
export async function wholeAttachments(bundle: Bundle): Promise<AttachmentPart[]> {
  const parts = await checkAttachments(bundle);
  const lacking = parts.find(({ bytes }) => bytes === null);
  if (lacking === undefined) return parts;
  const file = attachmentPartName(lacking.attachment.kind);
  throw new DroverError(
    'BUNDLE_INCOMPLETE',
    `open bundle ${bundle.folder}: there is no ${file}, which its manifest names`,
    { hint: `put ${file} back into the bundle, or build it again` },
  );
}
