/**
 * Applies a delta: from the tar of an installed release and the patch that was downloaded to the tar
 * of the new one. The patch is what the release key signed before any of it is used, the plan in it is
 * checked rule by rule, zstd gets one segment at a time and must give exactly what the plan says, and
 * the tar is what the release key signed, or it is removed again.
 */

import { DroverError } from '../../shared/errors.ts';
import { Sha256Stream } from '../../shared/hash.ts';
import {
  freshBytesOf,
  parsePatchHead,
  PATCH_LEAD_BYTES,
  patchHeadBytes,
  rangeBytes,
  type HistoryRange,
  type PatchPlan,
  type PatchSegment,
} from '../../shared/patch-plan.ts';
import { dictionaryFile, patchFile, tarFile } from '../core/layout.ts';
import type { Disk, DiskFile, PatchProgram } from '../core/ports.ts';
import type { DeltaOffer } from '../core/state.ts';
import type { BaseTar } from './base-tar.ts';

const READ_BYTES = 256 * 1024;

export interface PatchInput {
  readonly disk: Disk;
  /** Staging folder of the job: the patch is in it, the tar will be. */
  readonly folder: string;
  readonly delta: DeltaOffer;
  readonly base: BaseTar;
  readonly program: PatchProgram;
  readonly signal: AbortSignal;
}

/**
 * Resolves when the tar is whole, hashed and synced.
 * @throws DroverError DELTA_INVALID, DELTA_RESULT_WRONG, DELTA_BASE_CHANGED, ZSTD_MISSING,
 *   ZSTD_FAILED, ZSTD_TIMED_OUT, DISK_FULL, DISK_WRITE_FAILED, or the signal's reason
 */
export async function applyPatch(input: PatchInput): Promise<void> {
  const { disk, folder, delta } = input;
  const patch = await disk.open(patchFile(folder, delta.sha256), 'read');
  try {
    await assertPatchIs(patch, delta, input.signal);
    const plan = await readPlan(patch, input);
    const tar = await disk.open(tarFile(folder), 'create', 0o600);
    try {
      await new Patcher(input, patch, tar).run(plan);
      await tar.sync();
    } finally {
      await tar.close();
    }
    await disk.syncFolder(folder);
  } catch (error) {
    await disk.unlink(tarFile(folder));
    throw error;
  } finally {
    await patch.close();
    await disk.unlink(dictionaryFile(folder));
  }
}

function invalid(why: string): DroverError {
  return new DroverError('DELTA_INVALID', `apply delta: ${why}`);
}

async function assertPatchIs(
  patch: DiskFile,
  delta: DeltaOffer,
  signal: AbortSignal,
): Promise<void> {
  const size = await patch.size();
  if (size !== delta.bytes) throw invalid(`wrong size (got ${size}, want ${delta.bytes} bytes)`);
  const hash = new Sha256Stream();
  for await (const piece of pieces(patch, { at: 0, bytes: size })) {
    signal.throwIfAborted();
    hash.update(piece);
  }
  const got = hash.digestHex();
  if (got === delta.sha256) return;
  throw invalid(`hash differs (got ${got.slice(0, 12)}, want ${delta.sha256.slice(0, 12)})`);
}

async function readPlan(patch: DiskFile, { delta, base }: PatchInput): Promise<PatchPlan> {
  const lead = await bytesOf(patch, { at: 0, bytes: Math.min(PATCH_LEAD_BYTES, delta.bytes) });
  const headBytes = patchHeadBytes(lead);
  if (headBytes > delta.bytes) throw invalid('the plan is longer than the patch');
  const head = await bytesOf(patch, { at: 0, bytes: headBytes });
  const plan = parsePatchHead(head, delta.bytes);
  if (plan.baseBytes !== base.bytes) {
    throw invalid(`for another base (got ${plan.baseBytes}, want ${base.bytes} bytes)`);
  }
  if (plan.targetBytes === delta.tarBytes) return plan;
  throw invalid(`makes another tar (got ${plan.targetBytes}, want ${delta.tarBytes} bytes)`);
}

class Patcher {
  readonly #input: PatchInput;
  readonly #patch: DiskFile;
  readonly #tar: DiskFile;
  readonly #hash = new Sha256Stream();

  constructor(input: PatchInput, patch: DiskFile, tar: DiskFile) {
    this.#input = input;
    this.#patch = patch;
    this.#tar = tar;
  }

  async run(plan: PatchPlan): Promise<void> {
    const frames = plan.segments.reduce((sum, segment) => sum + segment.frameBytes, 0);
    let at = this.#input.delta.bytes - frames;
    for (const segment of plan.segments) {
      await this.#makeSegment(segment, at);
      at += segment.frameBytes;
    }
    const got = this.#hash.digestHex();
    const want = this.#input.delta.tarSha256;
    if (got === want) return;
    const why = `the tar is not the signed one (got ${got.slice(0, 12)}, want ${want.slice(0, 12)})`;
    throw new DroverError('DELTA_RESULT_WRONG', `apply delta: ${why}`);
  }

  async #makeSegment(segment: PatchSegment, frameAt: number): Promise<void> {
    const freshBytes = freshBytesOf(segment);
    const { program, signal } = this.#input;
    const steps = new StepWalk(segment, this);
    if (freshBytes > 0) {
      const dictionary = await this.#writeDictionary(segment.dictionary);
      await program.unpack({
        dictionary,
        frame: pieces(this.#patch, { at: frameAt, bytes: segment.frameBytes }),
        take: (piece) => steps.fresh(piece),
        signal,
      });
    }
    await steps.finish();
  }

  /** The file stands in the way of nobody: it is made anew for each segment and never synced. */
  async #writeDictionary(ranges: readonly HistoryRange[]): Promise<string | null> {
    if (rangeBytes(ranges) === 0) return null;
    const { disk, folder } = this.#input;
    const file = await disk.open(dictionaryFile(folder), 'create', 0o600);
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
    return dictionaryFile(folder);
  }

  async append(piece: Uint8Array): Promise<void> {
    await this.#tar.write(piece, this.#hash.bytes);
    this.#hash.update(piece);
  }

  async copy(range: HistoryRange): Promise<void> {
    await this.#eachOf(range, (piece) => this.append(piece));
  }

  /** Bytes of the history: of the base, or of what was made so far. */
  async #eachOf(range: HistoryRange, use: (piece: Uint8Array) => Promise<void>): Promise<void> {
    const { base, signal } = this.#input;
    const buffer = new Uint8Array(Math.min(READ_BYTES, range.bytes));
    for (let done = 0; done < range.bytes;) {
      signal.throwIfAborted();
      const at = range.at + done;
      const isBase = at < base.bytes;
      const bytesMax = Math.min(range.bytes - done, isBase ? base.bytes - at : Infinity);
      const into = buffer.subarray(0, bytesMax);
      const got = isBase ? await base.read(into, at) : await this.#tar.read(into, at - base.bytes);
      if (got === 0) throw invalid('a range of the history is not there');
      await use(into.subarray(0, got));
      done += got;
    }
  }
}

/** Fresh bytes come in pieces of any size; copies stand between them. */
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

async function bytesOf(file: DiskFile, range: HistoryRange): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces(file, range)) all.push(piece);
  return new Uint8Array(Buffer.concat(all));
}

/** Each piece is its own: a child may still be reading the one before. */
async function* pieces(file: DiskFile, range: HistoryRange): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < range.bytes;) {
    const buffer = new Uint8Array(Math.min(READ_BYTES, range.bytes - done));
    const got = await file.read(buffer, range.at + done);
    if (got === 0) throw invalid('the patch is cut short');
    yield buffer.subarray(0, got);
    done += got;
  }
}
