/**
 * The format of a parcel: one file that carries bundles over an air gap. It is a tar whose first
 * file is the index (names, sizes and hashes of the others) and whose second is SHA256SUMS, for
 * people with `sha256sum -c`. The index and the files determine every byte, so a reader notices
 * each one that is changed, missing or added. The index may be signed, and the content has
 * signatures of its own. Sans-I/O.
 */

import { z } from 'zod';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import { concatBytes, utf8 } from '../../shared/crypto/bytes.ts';
import { assertPartSize, isPartName } from '../../shared/formats/bundle-parts.ts';
import {
  openEnvelope,
  PAYLOAD_TYPES,
  peekEnvelope,
  signEnvelope,
} from '../../shared/formats/envelope.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  idSchema,
  instantSchema,
  parseDocument,
  seqSchema,
  sha256Schema,
  sizeSchema,
} from '../../shared/formats/schema.ts';
import { parseStrictJson } from '../../shared/formats/strict-json.ts';
import type { KeyRole } from '../../shared/formats/trust.ts';
import {
  BLOCK_BYTES,
  END_BYTES,
  NAME_BYTES_MAX,
  paddingOf,
  tarHeader,
} from '../bundle/tar-block.ts';

export type ParcelKind = 'drover-export';
const KINDS = ['drover-export'] as const satisfies readonly ParcelKind[];
export const PARCEL_FORMAT = 1;
export const SUMS_FILE = 'SHA256SUMS';
export const TRUST_MEMBER = 'trust.json';
export const ANNOUNCEMENT_MEMBER = 'announcement.json';
export const parcelIndexFile = (kind: ParcelKind): string => `${kind}.json`;

export interface ParcelMember {
  readonly name: string;
  readonly size: number;
  readonly sha256: Sha256Hex;
}

const memberSchema = z.object({
  name: z.string().max(NAME_BYTES_MAX),
  size: sizeSchema,
  sha256: sha256Schema,
});

const indexSchema = z.object({
  kind: z.enum(KINDS),
  format: z.literal(PARCEL_FORMAT, `want ${PARCEL_FORMAT}: made by another version of drover`),
  fleet: idSchema,
  /** Rises from one parcel to the next of its kind. */
  seq: seqSchema,
  created_at: instantSchema,
  members: z
    .array(memberSchema)
    .max(LIMITS.parcelMembersMax)
    .refine((all) => new Set(all.map((one) => one.name)).size === all.length, 'a name twice'),
});

export type ParcelIndex = z.output<typeof indexSchema>;
/** As written: the instant is text. */
export type ParcelIndexFields = z.input<typeof indexSchema>;

/**
 * `trusted`: a key that this reader trusts has signed the index; `stranger`: another key; `nobody`:
 * none.
 */
export type Authority = 'trusted' | 'stranger' | 'nobody';

const KIND = {
  what: 'index of the file',
  schema: indexSchema,
  bytesMax: LIMITS.parcelIndexBytesMax,
  code: 'PARCEL_INVALID',
} as const;

/** @param signers none for an unsigned index */
export async function encodeIndex(
  fields: ParcelIndexFields,
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const bytes = utf8(`${JSON.stringify(fields, null, 1)}\n`);
  assertMembers(parseDocument(KIND, bytes));
  if (signers.length === 0) return bytes;
  return await signEnvelope(PAYLOAD_TYPES.parcel, bytes, signers);
}

/**
 * [P-13.4]
 * @param role the role whose signature counts
 * @throws DroverError PARCEL_INVALID, DOCUMENT_TOO_LARGE, ENVELOPE_*
 */
export function openIndex(
  bytes: Uint8Array,
  role: KeyRole,
): { index: ParcelIndex; authority: Authority } {
  const { payload, authority } = unwrap(bytes, role);
  const index = readAs(() => parseDocument(KIND, payload));
  assertMembers(index);
  return { index, authority };
}

function unwrap(bytes: Uint8Array, role: KeyRole): { payload: Uint8Array; authority: Authority } {
  const bytesMax = LIMITS.parcelIndexBytesMax * 2;
  const value = readAs(() => parseStrictJson(bytes, KIND.what, bytesMax));
  const isSigned = typeof value === 'object' && value !== null && Object.hasOwn(value, 'payload');
  if (!isSigned) return { payload: bytes, authority: 'nobody' };
  try {
    return { payload: openEnvelope(bytes, PAYLOAD_TYPES.parcel, role), authority: 'trusted' };
  } catch (error) {
    const isStranger = error instanceof DroverError && error.code === 'ENVELOPE_KEY_UNKNOWN';
    if (!isStranger) throw error;
    return { payload: peekEnvelope(bytes), authority: 'stranger' };
  }
}

const NO_INDEX: ReadonlySet<string> = new Set([
  'JSON_INVALID',
  'SIGNATURE_MALFORMED',
  'BUNDLE_INCOMPLETE',
]);

/**
 * An index with one wrong byte has one code, whether it is invalid JSON or has an impossible size.
 */
function readAs<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof DroverError) || !NO_INDEX.has(cause.code)) throw cause;
    throw new DroverError('PARCEL_INVALID', cause.message, { cause });
  }
}

const BUNDLE_MEMBER = /^bundles\/(0|[1-9]\d?)\/(.+)$/;

/** Where a file of a bundle belongs; null for another kind of name. */
export function bundlePartOf(name: string): { at: number; part: string } | null {
  const [, at, part] = BUNDLE_MEMBER.exec(name) ?? [];
  return at === undefined || part === undefined ? null : { at: Number(at), part };
}

export const bundleMember = (at: number, part: string): string => `bundles/${at}/${part}`;

/** Only names that this format has, each within its bound. @throws DroverError PARCEL_INVALID */
function assertMembers({ members }: ParcelIndex): void {
  for (const { name, size } of members) {
    const part = bundlePartOf(name);
    if (part !== null && part.at < LIMITS.rolloutsMax && isPartName(part.part)) {
      readAs(() => assertPartSize(part.part, size));
      continue;
    }
    const bytesMax = boundOf(name);
    if (bytesMax !== null && size <= bytesMax) continue;
    const why = bytesMax === null ? 'no name of this format' : `want at most ${bytesMax} bytes`;
    const shown = JSON.stringify(name);
    throw new DroverError('PARCEL_INVALID', `read index: ${shown} of ${size} bytes: ${why}`);
  }
}

function boundOf(name: string): number | null {
  if (name === TRUST_MEMBER) return LIMITS.trustBytesMax;
  return name === ANNOUNCEMENT_MEMBER ? LIMITS.controlMessageBytesMax : null;
}

/** The output of `sha256sum` for the index and each member. */
export function sumsOf(
  kind: ParcelKind,
  index: Uint8Array,
  members: readonly ParcelMember[],
): Uint8Array {
  const lines = [
    { name: parcelIndexFile(kind), sha256: sha256Hex(index) },
    ...members.map(({ name, sha256 }) => ({ name, sha256 })),
  ];
  return utf8(lines.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join(''));
}

/** Bytes of one file with its header and padding. */
export const tarBytes = (size: number): number => BLOCK_BYTES + size + paddingOf(size);

/** One small file with its header and padding. */
export function headedFile(name: string, bytes: Uint8Array): Uint8Array {
  const size = bytes.byteLength;
  return concatBytes(tarHeader(name, size), bytes, new Uint8Array(paddingOf(size)));
}

/** Bytes of the whole file. */
export function parcelBytes(
  kind: ParcelKind,
  index: Uint8Array,
  members: readonly ParcelMember[],
): number {
  const sums = sumsOf(kind, index, members);
  const sizes = [index.byteLength, sums.byteLength, ...members.map(({ size }) => size)];
  return sizes.reduce((sum, size) => sum + tarBytes(size), END_BYTES);
}
