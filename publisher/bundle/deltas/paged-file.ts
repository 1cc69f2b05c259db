/**
 * A file for random reads that are mostly close together: it caches a few pages. The pieces that it
 * returns are valid until the next call.
 */

import { open, type FileHandle } from 'node:fs/promises';

const PAGE_BYTES = 256 * 1024;
const PAGES_MAX = 32;

export class PagedFile {
  readonly bytes: number;
  readonly #handle: FileHandle;
  readonly #pages = new Map<number, Buffer>();

  private constructor(handle: FileHandle, bytes: number) {
    this.#handle = handle;
    this.bytes = bytes;
  }

  static async open(path: string): Promise<PagedFile> {
    const handle = await open(path, 'r');
    return new PagedFile(handle, (await handle.stat()).size);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** From that byte to the end of its page; empty at the end of the file. */
  async from(atByte: number): Promise<Buffer> {
    const page = Math.floor(atByte / PAGE_BYTES);
    return (await this.#page(page)).subarray(atByte - page * PAGE_BYTES);
  }

  /** From the start of the page up to that byte; empty at the start of the file. */
  async upTo(atByte: number): Promise<Buffer> {
    if (atByte === 0) return Buffer.alloc(0);
    const page = Math.floor((atByte - 1) / PAGE_BYTES);
    return (await this.#page(page)).subarray(0, atByte - page * PAGE_BYTES);
  }

  /** That part of the file, piece by piece. */
  async *range(atByte: number, bytes: number): AsyncGenerator<Buffer> {
    for (let at = atByte; at < atByte + bytes;) {
      const piece = (await this.from(at)).subarray(0, atByte + bytes - at);
      if (piece.byteLength === 0) throw new RangeError('a range beyond the end of the file');
      yield piece;
      at += piece.byteLength;
    }
  }

  async #page(page: number): Promise<Buffer> {
    const known = this.#pages.get(page);
    if (known) {
      this.#pages.delete(page);
      this.#pages.set(page, known); // the newest is last
      return known;
    }
    const [oldest] = this.#pages.keys();
    const isFull = this.#pages.size >= PAGES_MAX && oldest !== undefined;
    const buffer = Buffer.allocUnsafe(PAGE_BYTES);
    if (isFull) this.#pages.delete(oldest);
    let filled = 0;
    while (filled < PAGE_BYTES) {
      const at = page * PAGE_BYTES + filled;
      const { bytesRead } = await this.#handle.read(buffer, filled, PAGE_BYTES - filled, at);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    const bytes = buffer.subarray(0, filled);
    this.#pages.set(page, bytes);
    return bytes;
  }
}
