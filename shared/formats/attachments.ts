/**
 * Attachments of a bundle: documents about its content (a bill of materials) and its origin
 * (provenance). A release key signs their hashes with the manifest. Robots do not read them, so a
 * broken one stops no update; people and scanners do. Sans-I/O.
 */

import { z } from 'zod';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { idSchema, sha256Schema, sizeSchema } from './schema.ts';

export const ATTACHMENT_KINDS = ['sbom', 'provenance'] as const;
export type AttachmentKind = (typeof ATTACHMENT_KINDS)[number];

/** An attachment in a manifest. A kind that this program does not know is carried and not shown. */
export const attachmentSchema = z.object({
  kind: idSchema,
  media_type: z.string().regex(/^[a-z0-9.+/-]{1,100}$/, 'want a media type'),
  sha256: sha256Schema,
  size: sizeSchema.min(1).max(LIMITS.attachmentBytesMax),
});
export type Attachment = z.output<typeof attachmentSchema>;

export const isAttachmentKind = (text: string): text is AttachmentKind =>
  (ATTACHMENT_KINDS as readonly string[]).includes(text);

/** `sbom.json`: its name in a bundle. */
export const attachmentPartName = (kind: AttachmentKind): string => `${kind}.json`;

const WANTED: Readonly<Record<AttachmentKind, string>> = {
  sbom: 'CycloneDX or SPDX in JSON',
  provenance: 'an in-toto statement in JSON, alone, in a DSSE envelope or in a Sigstore bundle',
};

type Json = Readonly<Record<string, unknown>>;

/**
 * @returns its media type
 * @throws DroverError ATTACHMENT_INVALID, DOCUMENT_TOO_LARGE
 */
export function recogniseAttachment(kind: AttachmentKind, bytes: Uint8Array): string {
  assertAttachmentSize(kind, bytes.byteLength);
  const found = kind === 'sbom' ? sbomType(parse(kind, bytes)) : provenanceType(parse(kind, bytes));
  if (found !== null) return found;
  throw invalid(kind, 'its fields are those of another document');
}

/** @throws DroverError DOCUMENT_TOO_LARGE, ATTACHMENT_INVALID for an empty one */
export function assertAttachmentSize(kind: AttachmentKind, bytes: number): void {
  if (bytes === 0) throw invalid(kind, 'it is empty');
  if (bytes <= LIMITS.attachmentBytesMax) return;
  const sizes = `got ${bytes} bytes, want at most ${LIMITS.attachmentBytesMax}`;
  throw new DroverError('DOCUMENT_TOO_LARGE', `read ${kind}: too large (${sizes})`);
}

function invalid(kind: AttachmentKind, why: string): DroverError {
  return new DroverError('ATTACHMENT_INVALID', `read ${kind}: ${why} (want ${WANTED[kind]})`);
}

function parse(kind: AttachmentKind, bytes: Uint8Array): Json {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw invalid(kind, 'it is not JSON'); // V8's message names no place in a large file
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw invalid(kind, 'it is not a JSON object');
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** CycloneDX names itself in `bomFormat`, SPDX 2 in `spdxVersion`, SPDX 3 in its context. */
function sbomType(json: Json): string | null {
  if (json['bomFormat'] === 'CycloneDX' && text(json['specVersion']) !== '') {
    return 'application/vnd.cyclonedx+json';
  }
  const isSpdx2 = text(json['spdxVersion']).startsWith('SPDX-');
  const isSpdx3 = text(json['@context']).startsWith('https://spdx.org/rdf/3.');
  return isSpdx2 || (isSpdx3 && Array.isArray(json['@graph'])) ? 'application/spdx+json' : null;
}

const STATEMENT_TYPE = 'application/vnd.in-toto+json';

function provenanceType(json: Json): string | null {
  if (isStatement(json)) return STATEMENT_TYPE;
  if (isEnvelope(json)) return 'application/vnd.dsse.envelope.v1+json';
  const media = text(json['mediaType']);
  const isBundle = media.startsWith('application/vnd.dev.sigstore.bundle');
  const envelope = json['dsseEnvelope'];
  if (!isBundle || typeof envelope !== 'object' || envelope === null) return null;
  return isEnvelope(envelope as Json) ? 'application/vnd.dev.sigstore.bundle+json' : null;
}

const isStatement = (json: Json): boolean =>
  text(json['_type']).startsWith('https://in-toto.io/Statement/') &&
  Array.isArray(json['subject']) &&
  text(json['predicateType']) !== '';

const isEnvelope = (json: Json): boolean =>
  json['payloadType'] === STATEMENT_TYPE &&
  text(json['payload']) !== '' &&
  Array.isArray(json['signatures']);
