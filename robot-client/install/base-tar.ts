/**
 * The tar of an installed release, rebuilt from its files by its recipe, and readable at any
 * position like a file. Only its hash proves that it is the original tar: an application that
 * writes into its own release is noticed here, before anything is downloaded.
 */

import { bytesEqual, hexToBytes } from '../../shared/crypto/bytes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { RECIPE_HASH_BYTES, RECIPE_MARK } from './recipe.ts';
import type { Disk, DiskFile } from './disk-port.ts';
import { modeOfHeader, TAR_HEADER_BYTES, type RecipeEntry } from './recipe-check.ts';
import { keptPath } from './kept-files.ts';

const READ_BYTES = 256 * 1024;

interface Part {
  /** Offset in the tar in bytes. */
  readonly at: number;
  readonly bytes: number;
  /** For a literal: its offset in the recipe. For a body: the offset of its path. */
  readonly inRecipe: number;
  /** Bytes of the path; 0 for a literal. */
  readonly pathBytes: number;
}

export class BaseTar {
  readonly bytes: number;
  readonly #disk: Disk;
  readonly #recipe: DiskFile;
  readonly #release: string;
  readonly #kept: string | null;
  readonly #parts: readonly Part[];
  #open: { part: Part; path: string; file: DiskFile } | null = null;

  private constructor(
    disk: Disk,
    recipe: DiskFile,
    { release, kept, parts }: { release: string; kept: string | null; parts: readonly Part[] },
  ) {
    this.#disk = disk;
    this.#recipe = recipe;
    this.#release = release;
    this.#kept = kept;
    this.#parts = parts;
    const last = parts.at(-1);
    this.bytes = last ? last.at + last.bytes : 0;
  }

  /** Null when there is no whole recipe: the release came without one, or it was lost. */
  static async open(
    disk: Disk,
    { recipe, release, kept = null }: { recipe: string; release: string; kept?: string | null },
  ): Promise<BaseTar | null> {
    if ((await disk.kind(recipe)) !== 'file') return null;
    const file = await disk.open(recipe, 'read');
    try {
      const parts = (await isWhole(file)) ? await readParts(file) : null;
      if (parts) return new BaseTar(disk, file, { release, kept, parts });
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    return null;
  }

  async close(): Promise<void> {
    await this.#open?.file.close();
    this.#open = null;
    await this.#recipe.close();
  }

  /** @throws DroverError DELTA_BASE_CHANGED */
  async assertIs(sha256: Sha256Hex, signal: AbortSignal): Promise<void> {
    const hash = new Sha256Stream();
    const buffer = new Uint8Array(READ_BYTES);
    while (hash.bytes < this.bytes) {
      signal.throwIfAborted();
      hash.update(buffer.subarray(0, await this.read(buffer, hash.bytes)));
    }
    const got = hash.digestHex();
    if (got === sha256) return;
    throw changed(`its tar is another one (got ${got.slice(0, 12)}, want ${sha256.slice(0, 12)})`);
  }

  /**
   * Like reading a file: up to `into.byteLength` bytes, 0 at the end.
   * @throws DroverError DELTA_BASE_CHANGED
   */
  async read(into: Uint8Array, atByte: number): Promise<number> {
    let done = 0;
    for (let nth = this.#partAt(atByte); done < into.byteLength; nth += 1) {
      const part = this.#parts[nth];
      if (!part) break;
      const inPart = atByte + done - part.at;
      const rest = Math.min(part.bytes - inPart, into.byteLength - done);
      await this.#fill(into.subarray(done, done + rest), part, inPart);
      done += rest;
    }
    return done;
  }

  #partAt(atByte: number): number {
    let [low, high] = [0, this.#parts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const part = this.#parts[middle] as Part;
      if (part.at + part.bytes <= atByte) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async #fill(into: Uint8Array, part: Part, inPart: number): Promise<void> {
    const isLiteral = part.pathBytes === 0;
    const file = isLiteral ? this.#recipe : await this.#fileOf(part);
    const start = isLiteral ? part.inRecipe + inPart : inPart;
    for (let done = 0; done < into.byteLength;) {
      const got = await file.read(into.subarray(done), start + done);
      if (got === 0) throw changed(`${this.#open?.path ?? 'its recipe'} was cut short`);
      done += got;
    }
  }

  async #fileOf(part: Part): Promise<DiskFile> {
    if (this.#open?.part === part) return this.#open.file;
    await this.#open?.file.close();
    this.#open = null;
    const name = new Uint8Array(part.pathBytes);
    await this.#recipe.read(name, part.inRecipe);
    const text = new TextDecoder().decode(name);
    const path = await this.#pathOf(text);
    // Checked first: opening a fifo would wait for ever.
    const kind = await this.#disk.kind(path);
    if (kind !== 'file') throw changed(`"${printable(text)}" is ${kind}`);
    const file = await this.#disk.open(path, 'read');
    this.#open = { part, path: `"${printable(text)}"`, file };
    return file;
  }

  /** Byte code is read as it was packed, whatever Python wrote since. */
  async #pathOf(text: string): Promise<string> {
    const second = this.#kept === null ? null : keptPath(this.#kept, text);
    const isKept = second !== null && (await this.#disk.kind(second)) === 'file';
    return isKept ? second : `${this.#release}/${text}`;
  }
}

function changed(why: string): DroverError {
  return new DroverError('DELTA_BASE_CHANGED', `patch from what is installed: ${why}`);
}

/** Everything before the last 32 bytes hashes to them. */
async function isWhole(file: DiskFile): Promise<boolean> {
  const bytes = (await file.size()) - RECIPE_HASH_BYTES;
  if (bytes < RECIPE_MARK.byteLength) return false;
  const hash = new Sha256Stream();
  const buffer = new Uint8Array(READ_BYTES);
  while (hash.bytes < bytes) {
    const got = await file.read(buffer.subarray(0, bytes - hash.bytes), hash.bytes);
    if (got === 0) return false;
    hash.update(buffer.subarray(0, got));
  }
  const want = new Uint8Array(RECIPE_HASH_BYTES);
  await file.read(want, bytes);
  return bytesEqual(want, hexToBytes(hash.digestHex()) as Uint8Array);
}

/** Null for a recipe of another kind. */
async function readParts(file: DiskFile): Promise<Part[] | null> {
  const reader = new RecipeReader(file, (await file.size()) - RECIPE_HASH_BYTES);
  const mark = await reader.bytes(RECIPE_MARK.byteLength);
  if (!bytesEqual(mark, RECIPE_MARK)) return null;
  const parts: Part[] = [];
  let at = 0;
  const add = (bytes: number, inRecipe: number, pathBytes: number): void => {
    if (bytes > 0) parts.push({ at, bytes, inRecipe, pathBytes });
    at += bytes;
  };
  while (!reader.isAtEnd) {
    const literal = await reader.varint();
    add(literal, reader.at, 0);
    reader.skip(literal);
    const pathBytes = await reader.varint();
    const pathAt = reader.at;
    reader.skip(pathBytes);
    add(await reader.varint(), pathAt, pathBytes);
    if (parts.length > LIMITS.archiveEntriesMax * 3) return null;
  }
  return parts;
}

/**
 * The files with bytes that a recipe names, in its order, as a stream.
 * @returns null when the recipe is torn or of another kind
 */
export async function filesOfRecipe(file: DiskFile): Promise<AsyncIterable<RecipeEntry> | null> {
  if (!(await isWhole(file))) return null;
  const reader = new RecipeReader(file, (await file.size()) - RECIPE_HASH_BYTES);
  const isOurs = bytesEqual(await reader.bytes(RECIPE_MARK.byteLength), RECIPE_MARK);
  return isOurs ? readFiles(file, reader) : null;
}

async function* readFiles(file: DiskFile, reader: RecipeReader): AsyncGenerator<RecipeEntry> {
  const header = new Uint8Array(TAR_HEADER_BYTES);
  while (!reader.isAtEnd) {
    reader.skip(await reader.varint());
    const bodyAt = reader.at; // the header of a file is the last block before its bytes
    const name = new Uint8Array(await reader.varint());
    const nameAt = reader.at;
    reader.skip(name.byteLength);
    const bytes = await reader.varint();
    if (name.byteLength === 0 || bytes === 0) continue;
    await file.read(name, nameAt);
    const got = await file.read(header, Math.max(0, bodyAt - TAR_HEADER_BYTES));
    const path = new TextDecoder().decode(name);
    yield { path, bytes, mode: modeOfHeader(header.subarray(0, got)) };
  }
}

class RecipeReader {
  readonly #file: DiskFile;
  readonly #end: number;
  readonly #buffer = new Uint8Array(READ_BYTES);
  #bufferAt = 0;
  #filled = 0;
  at = 0;

  constructor(file: DiskFile, end: number) {
    this.#file = file;
    this.#end = end;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#end;
  }

  skip(bytes: number): void {
    this.at += bytes;
  }

  async bytes(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    for (let nth = 0; nth < count; nth += 1) bytes[nth] = await this.#byte();
    return bytes;
  }

  async varint(): Promise<number> {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = await this.#byte();
      value += (byte % 128) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  async #byte(): Promise<number> {
    const inBuffer = this.at - this.#bufferAt;
    if (inBuffer < 0 || inBuffer >= this.#filled) {
      this.#bufferAt = this.at;
      this.#filled = await this.#file.read(this.#buffer, this.at);
      if (this.#filled === 0) throw changed('its recipe was cut short');
    }
    const byte = this.#buffer[this.at - this.#bufferAt] as number;
    this.at += 1;
    return byte;
  }
}
