/**
 * Reads and verifies a backup: only names that a backup has, each within its bound, every chunk at
 * the address that it hashes to, and at the end the digest over everything. Until the generator has
 * ended, nothing that it yielded counts as verified: the caller writes it to a temporary place.
 */

import type { Readable } from 'node:stream';
import { extract, type Header } from 'tar-stream';
import { DroverError } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  decodeRecords,
  EntryDigest,
  parseEnd,
  parseHeader,
  readEntryName,
  type BackupHeader,
  type DatabaseRecord,
  type EntryName,
} from './format.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';

export type BackupPart =
  | { readonly kind: 'header'; readonly header: BackupHeader }
  | {
      readonly kind: 'records';
      readonly database: string;
      readonly records: readonly DatabaseRecord[];
    }
  | { readonly kind: 'chunk'; readonly hash: Sha256Hex; readonly bytes: Uint8Array };

/** @throws DroverError BACKUP_DAMAGED */
export async function* readBackup(input: Readable, file: string): AsyncGenerator<BackupPart> {
  const tar = extract();
  input.on('error', (error) => tar.destroy(error));
  input.pipe(tar);
  const checker = new Checker(file);
  try {
    for await (const entry of tar) {
      const part = checker.take(entry.header.name, await readEntry(file, entry));
      if (part) yield part;
    }
  } catch (cause) {
    if (cause instanceof DroverError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('BACKUP_DAMAGED', `read backup ${file}: ${why}`, { cause });
  } finally {
    input.destroy();
  }
  checker.assertEnded();
}

/** Checks the order of the entries, which is part of the format. */
class Checker {
  readonly #file: string;
  readonly #digest = new EntryDigest();
  readonly #next = new Map<string, number>();
  #header: BackupHeader | null = null;
  #hasEnded = false;

  constructor(file: string) {
    this.#file = file;
  }

  take(name: string, bytes: Uint8Array): BackupPart | null {
    const known = readEntryName(name);
    const shown = JSON.stringify(name.slice(0, 120));
    if (!known) throw this.#damaged(`${shown} is not part of a backup`);
    if (this.#hasEnded) throw this.#damaged(`${shown} stands behind its end`);
    if ((this.#header === null) !== (known.kind === 'header')) {
      throw this.#damaged(`${shown} stands at the wrong place`);
    }
    const { end } = this.#digest;
    this.#digest.add(name, bytes);
    return known.kind === 'end' ? this.#takeEnd(bytes, end) : this.#read(known, name, bytes);
  }

  assertEnded(): void {
    if (this.#hasEnded) return;
    throw this.#damaged('it has no end: it was cut off, or the broker failed while it wrote it');
  }

  #takeEnd(bytes: Uint8Array, own: EntryDigest['end']): null {
    const said = parseEnd(bytes);
    if (said.entries !== own.entries || said.sha256 !== own.sha256) {
      const [got, want] = [own, said].map((one) => `${one.entries}/${one.sha256.slice(0, 12)}`);
      throw this.#damaged(`other entries than were written (got ${got}, want ${want})`);
    }
    this.#hasEnded = true;
    return null;
  }

  #read(known: EntryName, name: string, bytes: Uint8Array): BackupPart {
    if (known.kind === 'chunk') {
      if (sha256Hex(bytes) === known.hash) return { kind: 'chunk', hash: known.hash, bytes };
      throw this.#damaged(`${name} has other bytes (got ${sha256Hex(bytes).slice(0, 12)})`);
    }
    if (known.kind === 'segment') {
      const { database, at } = known;
      const isNext = at === (this.#next.get(database) ?? 0);
      if (!isNext || !this.#header?.databases.includes(database)) {
        throw this.#damaged(`${name} stands at the wrong place`);
      }
      this.#next.set(database, at + 1);
      return { kind: 'records', database, records: decodeRecords(name, bytes) };
    }
    this.#header = parseHeader(bytes);
    return { kind: 'header', header: this.#header };
  }

  #damaged(why: string): DroverError {
    return new DroverError('BACKUP_DAMAGED', `read backup ${this.#file}: ${why}`);
  }
}

type Entry = AsyncIterable<unknown> & { readonly header: Header };

async function readEntry(file: string, entry: Entry): Promise<Uint8Array> {
  const { name, type, size } = entry.header;
  if (type !== 'file' || size > LIMITS.backupEntryBytesMax) {
    const shown = `${String(type)} of ${size} bytes`;
    const want = `want a file of at most ${LIMITS.backupEntryBytesMax} bytes`;
    throw new DroverError(
      'BACKUP_DAMAGED',
      `read backup ${file}: bad entry ${JSON.stringify(name.slice(0, 120))} (got ${shown}, ${want})`,
    );
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of entry) pieces.push(piece as Uint8Array);
  return Buffer.concat(pieces);
}
