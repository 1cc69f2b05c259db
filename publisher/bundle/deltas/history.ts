/**
 * The two tars of a delta as one row of bytes: the base, and behind it the target. A place in it is
 * a number. This class measures by reading how far two places are equal.
 */

import type { HistoryRange } from '../../../shared/transfer/patch-plan.ts';
import { PagedFile } from './paged-file.ts';

export class History {
  readonly base: PagedFile;
  readonly target: PagedFile;

  private constructor(base: PagedFile, target: PagedFile) {
    this.base = base;
    this.target = target;
  }

  static async open(paths: { base: string; target: string }): Promise<History> {
    return new History(await PagedFile.open(paths.base), await PagedFile.open(paths.target));
  }

  async close(): Promise<void> {
    await this.base.close();
    await this.target.close();
  }

  async *ranges(ranges: readonly HistoryRange[]): AsyncGenerator<Buffer> {
    for (const { at, bytes } of ranges) {
      const inBase = Math.max(0, Math.min(bytes, this.base.bytes - at));
      if (inBase > 0) yield* this.base.range(at, inBase);
      const atTarget = at + inBase - this.base.bytes;
      if (bytes > inBase) yield* this.target.range(atTarget, bytes - inBase);
    }
  }

  /** Number of equal bytes after these places, at most `bytesMax`. */
  async equalAfter(at: number, targetAt: number, bytesMax: number): Promise<number> {
    let equal = 0;
    while (equal < bytesMax) {
      const [file, from] = this.#fileOf(at + equal);
      const [a, b] = [await file.from(from), await this.target.from(targetAt + equal)];
      const length = Math.min(a.byteLength, b.byteLength, bytesMax - equal);
      const same = samePrefix(a.subarray(0, length), b.subarray(0, length));
      equal += same;
      if (same < length || length === 0) break;
    }
    return equal;
  }

  /** Number of equal bytes before these places, at most `bytesMax`. */
  async equalBefore(at: number, targetAt: number, bytesMax: number): Promise<number> {
    let equal = 0;
    while (equal < bytesMax) {
      const [file, from] = this.#fileOf(at - equal - 1);
      const [a, b] = [await file.upTo(from + 1), await this.target.upTo(targetAt - equal)];
      const length = Math.min(a.byteLength, b.byteLength, bytesMax - equal);
      const same = sameSuffix(a.subarray(a.byteLength - length), b.subarray(b.byteLength - length));
      equal += same;
      if (same < length || length === 0) break;
    }
    return equal;
  }

  #fileOf(at: number): [PagedFile, number] {
    return at < this.base.bytes ? [this.base, at] : [this.target, at - this.base.bytes];
  }
}

/** Both have the same length. */
function samePrefix(a: Buffer, b: Buffer): number {
  if (a.equals(b)) return a.byteLength;
  let at = 0;
  while (a[at] === b[at]) at += 1;
  return at;
}

function sameSuffix(a: Buffer, b: Buffer): number {
  if (a.equals(b)) return a.byteLength;
  let count = 0;
  while (a[a.byteLength - 1 - count] === b[b.byteLength - 1 - count]) count += 1;
  return count;
}
