/**
 * Applies a delta to a base: a robot installs the result, a publisher checks it before signing. The
 * plan is checked rule by rule, the patch program gets one segment at a time and must give exactly
 * what the plan says, and the resulting tar is the expected one or an error. The caller has
 * verified the patch itself. Files and the program are ports. Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import { Sha256Stream } from '../crypto/hash.ts';
import {
  freshBytesOf,
  parsePatchHead,
  PATCH_LEAD_BYTES,
  patchHeadBytes,
  rangeBytes,
  type HistoryRange,
  type PatchCoding,
  type PatchPlan,
  type PatchSegment,
} from './patch-plan.ts';
import type { PatchProgram, Unpacker } from '../base/ports.ts';
import { unpackAdds } from './add-frame.ts';
import { HistoryView } from './history-view.ts';

const READ_BYTES = 256 * 1024;

export interface Readable {
  /** Up to `into.byteLength` bytes from there on; 0 at the end. */
  read(into: Uint8Array, atByte: number): Promise<number>;
}

export interface Writable {
  write(bytes: Uint8Array, atByte: number): Promise<void>;
}

export interface PatchInput {
  readonly patch: Readable & { readonly bytes: number };
  readonly base: Readable & { readonly bytes: number };
  /** Written from start to end, and read where it was written. */
  readonly target: Readable & Writable;
  readonly expected: { readonly tarSha256: string; readonly tarBytes: number };
  /** Creates a file at `path`; it is closed before the program gets it. */
  readonly makeDictionary: () => Promise<Writable & { close(): Promise<void> }>;
  readonly dictionaryPath: string;
  /** Null where there is no zstd: then only patches that add are applied. */
  readonly program: PatchProgram | null;
  readonly unpack: Unpacker;
  readonly signal: AbortSignal;
}

/**
 * @throws DroverError DELTA_INVALID, DELTA_RESULT_WRONG, ZSTD_MISSING, ZSTD_FAILED, ZSTD_TIMED_OUT,
 *   what the ports throw, or the signal's reason
 */
export async function applyPatch(input: PatchInput): Promise<void> {
  await new Patcher(input).run(await readPlan(input));
}

function invalid(why: string): DroverError {
  return new DroverError('DELTA_INVALID', `apply delta: ${why}`);
}

/** @throws DroverError DELTA_INVALID */
export async function readPatchPlan(patch: PatchInput['patch']): Promise<PatchPlan> {
  const lead = await bytesOf(patch, { at: 0, bytes: Math.min(PATCH_LEAD_BYTES, patch.bytes) });
  const headBytes = patchHeadBytes(lead);
  if (headBytes > patch.bytes) throw invalid('the plan is longer than the patch');
  return parsePatchHead(await bytesOf(patch, { at: 0, bytes: headBytes }), patch.bytes);
}

async function readPlan({ patch, base, expected }: PatchInput): Promise<PatchPlan> {
  const plan = await readPatchPlan(patch);
  if (plan.baseBytes !== base.bytes) {
    throw invalid(`it is for another base (got ${plan.baseBytes}, want ${base.bytes} bytes)`);
  }
  if (plan.targetBytes === expected.tarBytes) return plan;
  throw invalid(`it makes another tar (got ${plan.targetBytes}, want ${expected.tarBytes} bytes)`);
}

class Patcher {
  readonly #input: PatchInput;
  readonly #hash = new Sha256Stream();

  constructor(input: PatchInput) {
    this.#input = input;
  }

  async run(plan: PatchPlan): Promise<void> {
    const frames = plan.segments.reduce((sum, segment) => sum + segment.frameBytes, 0);
    let at = this.#input.patch.bytes - frames;
    for (const segment of plan.segments) {
      await this.#makeSegment(plan.coding, segment, at);
      at += segment.frameBytes;
    }
    const got = this.#hash.digestHex();
    const want = this.#input.expected.tarSha256;
    if (got === want) return;
    const why = `the tar is another one (got ${got.slice(0, 12)}, want ${want.slice(0, 12)})`;
    throw new DroverError('DELTA_RESULT_WRONG', `apply delta: ${why}`);
  }

  async #makeSegment(coding: PatchCoding, segment: PatchSegment, frameAt: number): Promise<void> {
    const steps = new StepWalk(segment, this);
    if (freshBytesOf(segment) > 0) {
      const take = (piece: Uint8Array): Promise<void> => steps.fresh(piece);
      if (coding === 'zstd') await this.#unpackZstd(segment, frameAt, take);
      else await this.#unpackAdds(segment, frameAt, take);
    }
    await steps.finish();
  }

  async #unpackZstd(
    { dictionary: ranges, frameBytes }: PatchSegment,
    frameAt: number,
    take: (piece: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const { program, patch, signal } = this.#input;
    if (!program) throw new DroverError('ZSTD_MISSING', 'apply delta: there is no zstd here');
    const dictionary = await this.#writeDictionary(ranges);
    const frame = pieces(patch, { at: frameAt, bytes: frameBytes });
    await program.unpack({ dictionary, frame, take, signal });
  }

  async #unpackAdds(
    segment: PatchSegment,
    frameAt: number,
    take: (piece: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const { patch, unpack, signal } = this.#input;
    const { frameBytes } = segment;
    const dictionary = new HistoryView(segment.dictionary, async (range, into) => {
      let done = 0;
      await this.#eachOf(range, async (piece) => {
        into.set(piece, done);
        done += piece.byteLength;
      });
    });
    const read = ({ at, bytes }: HistoryRange): AsyncIterable<Uint8Array> =>
      pieces(patch, { at: frameAt + at, bytes });
    const freshBytes = freshBytesOf(segment);
    await unpackAdds({ dictionary, freshBytes, frameBytes, read, unpack, signal, take });
  }

  async #writeDictionary(ranges: readonly HistoryRange[]): Promise<string | null> {
    if (rangeBytes(ranges) === 0) return null;
    const file = await this.#input.makeDictionary();
    try {
      let at = 0;
      for (const range of ranges) {
        await this.#eachOf(range, async (piece) => {
          await file.write(piece, at);
          at += piece.byteLength;
        });
      }
    } finally {
      await file.close();
    }
    return this.#input.dictionaryPath;
  }

  async append(piece: Uint8Array): Promise<void> {
    await this.#input.target.write(piece, this.#hash.bytes);
    this.#hash.update(piece);
  }

  async copy(range: HistoryRange): Promise<void> {
    await this.#eachOf(range, (piece) => this.append(piece));
  }

  /** Bytes of the history: of the base, or of what was made so far. */
  async #eachOf(range: HistoryRange, use: (piece: Uint8Array) => Promise<void>): Promise<void> {
    const { base, target, signal } = this.#input;
    const buffer = new Uint8Array(Math.min(READ_BYTES, range.bytes));
    for (let done = 0; done < range.bytes;) {
      signal.throwIfAborted();
      const at = range.at + done;
      const isBase = at < base.bytes;
      const bytesMax = Math.min(range.bytes - done, isBase ? base.bytes - at : Infinity);
      const into = buffer.subarray(0, bytesMax);
      const got = isBase ? await base.read(into, at) : await target.read(into, at - base.bytes);
      if (got === 0) throw invalid('a range of the history is not there');
      await use(into.subarray(0, got));
      done += got;
    }
  }
}

/** Fresh bytes come in pieces of any size, with copies between them. */
class StepWalk {
  readonly #steps: PatchSegment['steps'];
  readonly #patcher: Patcher;
  #nth = 0;
  #freshDone = 0;

  constructor({ steps }: PatchSegment, patcher: Patcher) {
    this.#steps = steps;
    this.#patcher = patcher;
  }

  /** @throws DroverError DELTA_INVALID for more bytes than the plan has room for */
  async fresh(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.byteLength;) {
      await this.#copyWhatIsDue();
      const step = this.#steps[this.#nth];
      if (!step) throw invalid('more fresh bytes than the plan says');
      const part = piece.subarray(at, at + step.freshBytes - this.#freshDone);
      await this.#patcher.append(part);
      at += part.byteLength;
      this.#freshDone += part.byteLength;
    }
  }

  /** @throws DroverError DELTA_INVALID when fresh bytes are missing */
  async finish(): Promise<void> {
    await this.#copyWhatIsDue();
    if (this.#nth < this.#steps.length) throw invalid('fewer fresh bytes than the plan says');
  }

  async #copyWhatIsDue(): Promise<void> {
    for (;;) {
      const step = this.#steps[this.#nth];
      if (!step || this.#freshDone < step.freshBytes) return;
      await this.#patcher.copy(step.copy);
      this.#nth += 1;
      this.#freshDone = 0;
    }
  }
}

async function bytesOf(file: Readable, range: HistoryRange): Promise<Uint8Array> {
  const bytes = new Uint8Array(range.bytes);
  let at = 0;
  for await (const piece of pieces(file, range)) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}

/** Each piece is its own: a child may still be reading the one before. */
async function* pieces(file: Readable, range: HistoryRange): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < range.bytes;) {
    const buffer = new Uint8Array(Math.min(READ_BYTES, range.bytes - done));
    const got = await file.read(buffer, range.at + done);
    if (got === 0) throw invalid('the patch is cut short');
    yield buffer.subarray(0, got);
    done += got;
  }
}
