/**
 * Format of a backup of a data folder: a plain tar, so that any tool lists it. Sans-I/O.
 *
 *   backup.json                 first: the format and what the backup holds
 *   databases/<name>/<number>   records of one database, in the order of their keys
 *   chunks/<sha256>             chunks at their content address
 *   end.json                    last: a digest over name, size and bytes of all entries before it
 *
 * A file without `end.json` is no backup. The digest finds damage and truncation. It is no
 * signature and needs none: release and rollout keys sign whatever moves a robot.
 */

import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { isSha256Hex, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  instantSchema,
  parseDocument,
  sha256Schema,
  sizeSchema,
} from '../../shared/formats/schema.ts';

/** Folders of a data folder that are databases; a relay or an attached broker has others. */
const DATABASE_NAME = /^(?!chunks$|garbage$|restoring$)[a-z][a-z-]{0,31}$/;
const SEGMENT = /^databases\/([a-z][a-z-]{0,31})\/(\d{6})$/;

export const HEADER_ENTRY = 'backup.json';
export const END_ENTRY = 'end.json';
export const CHUNKS_FOLDER = 'chunks';

const headerSchema = z.object({
  format: z.literal(1),
  created_at: instantSchema,
  databases: z.array(z.string().regex(DATABASE_NAME)).min(1).max(16),
  has_chunks: z.boolean(),
});
const endSchema = z.object({ entries: sizeSchema, sha256: sha256Schema });

export type BackupHeader = z.output<typeof headerSchema>;
export type BackupHeaderFields = z.input<typeof headerSchema>;
export type BackupEnd = z.output<typeof endSchema>;

const KIND = { bytesMax: LIMITS.reportBytesMax, code: 'BACKUP_DAMAGED' } as const;

/** @throws DroverError BACKUP_DAMAGED, JSON_INVALID, DOCUMENT_TOO_LARGE */
export const parseHeader = (bytes: Uint8Array): BackupHeader =>
  parseDocument({ ...KIND, what: 'header of the backup', schema: headerSchema }, bytes);
/** @throws DroverError as `parseHeader` */
export const parseEnd = (bytes: Uint8Array): BackupEnd =>
  parseDocument({ ...KIND, what: 'end of the backup', schema: endSchema }, bytes);

export const encodeHeader = (fields: BackupHeaderFields): Uint8Array => encode(fields);
export const encodeEnd = (end: BackupEnd): Uint8Array => encode(end);
const encode = (value: object): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

export const segmentEntry = (database: string, at: number): string =>
  `databases/${database}/${String(at).padStart(6, '0')}`;

export type EntryName =
  | { readonly kind: 'header' | 'end' }
  | { readonly kind: 'segment'; readonly database: string; readonly at: number }
  | { readonly kind: 'chunk'; readonly hash: Sha256Hex };

/** Null for a name that no backup holds. */
export function readEntryName(name: string): EntryName | null {
  if (name === HEADER_ENTRY) return { kind: 'header' };
  if (name === END_ENTRY) return { kind: 'end' };
  const segment = SEGMENT.exec(name);
  if (segment) return { kind: 'segment', database: segment[1] ?? '', at: Number(segment[2]) };
  const hash = name.startsWith(`${CHUNKS_FOLDER}/`) ? name.slice(CHUNKS_FOLDER.length + 1) : '';
  return isSha256Hex(hash) ? { kind: 'chunk', hash } : null;
}

/** The digest in `end.json`, over the entries before it. */
export class EntryDigest {
  #entries = 0;
  #sha256 = sha256Hex(new Uint8Array());

  add(name: string, bytes: Uint8Array): void {
    this.#entries += 1;
    // a chain: each digest includes the one before
    const line = `${this.#sha256} ${name} ${bytes.byteLength} ${sha256Hex(bytes)}\n`;
    this.#sha256 = sha256Hex(new TextEncoder().encode(line));
  }

  get end(): BackupEnd {
    return { entries: this.#entries, sha256: this.#sha256 };
  }
}

export type DatabaseRecord = readonly [key: string, value: Uint8Array];

/** `<bytes of key><bytes of value>` as two big-endian u32, then both. */
export function encodeRecord([key, value]: DatabaseRecord): Uint8Array {
  const keyBytes = new TextEncoder().encode(key);
  const bytes = new Uint8Array(8 + keyBytes.byteLength + value.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, keyBytes.byteLength);
  view.setUint32(4, value.byteLength);
  bytes.set(keyBytes, 8);
  bytes.set(value, 8 + keyBytes.byteLength);
  return bytes;
}

/** @throws DroverError BACKUP_DAMAGED */
export function decodeRecords(name: string, bytes: Uint8Array): DatabaseRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: DatabaseRecord[] = [];
  const damaged = (at: number): DroverError =>
    new DroverError('BACKUP_DAMAGED', `read ${name}: a record at byte ${at} is cut off`);
  for (let at = 0; at < bytes.byteLength;) {
    if (at + 8 > bytes.byteLength) throw damaged(at);
    const keyEnd = at + 8 + view.getUint32(at);
    const end = keyEnd + view.getUint32(at + 4);
    if (end > bytes.byteLength) throw damaged(at);
    const key = new TextDecoder().decode(bytes.subarray(at + 8, keyEnd));
    records.push([key, bytes.subarray(keyEnd, end)]);
    at = end;
  }
  return records;
}
