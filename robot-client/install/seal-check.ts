/**
 * Checks a release by its seal, or by its recipe when no seal can be read, as a stream: memory does
 * not grow with the number of files. Links out of the release are not followed.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { isForbidden } from './disk-error.ts';
import type { Disk, DiskFile } from './disk-port.ts';
import { filesOfRecipe } from './base-tar.ts';
import { adoptedSealFile, recipeFile, sealFile, type Layout } from './layout.ts';
import { wrongByRecipe, type RecipeEntry } from './recipe-check.ts';
import {
  isProgram,
  isProgramMode,
  lostRights,
  parseSealEnd,
  parseSealEntry,
  SEAL_MARK,
  type ReleaseCheck,
  type SealEntry,
} from './seal.ts';
import { hashFile } from './seal-file.ts';

export interface CheckInput {
  readonly version: string;
  /** Path of the tree, without links. */
  readonly tree: string;
  /** Hashes the files, for as long as `mayHash` returns true. */
  readonly mayHash: () => boolean;
  /** Files that differed before: the application writes them itself. */
  readonly known: Pick<ReadonlySet<string>, 'has'>;
  /** True: only missing and empty files are damage, not what the application may have written. */
  readonly isOnlyLost?: boolean;
  /**
   * True while the application runs for the first time: it may remove, empty and replace its own
   * files. Only programs are damage, or that no file is left.
   */
  readonly isOnTrial?: boolean;
}

/**
 * Never throws for anything on the disk. A part that the disk cannot read is damage; one that this
 * user may not read is not, because it is unknown.
 */
export async function checkRelease(
  disk: Disk,
  layout: Layout,
  input: CheckInput,
): Promise<ReleaseCheck> {
  try {
    if ((await disk.kind(input.tree)) !== 'folder') return { kind: 'absent' };
  } catch (thrown) {
    if (isForbidden(thrown)) return { kind: 'unknown', unread: toProblem(thrown) };
    return unreadable('.', thrown);
  }
  let unread: Problem | null = null;
  for (const by of [bySeal, byAdoptedSeal, byRecipe]) {
    try {
      const found = await by(disk, layout, input);
      if (found?.kind === 'whole' && unread) return { ...found, unread };
      if (found) return found;
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      unread ??= toProblem(thrown); // one that cannot be read is none
    }
  }
  return { kind: 'unknown', ...(unread && { unread }) };
}

/** A part of the release that could not be read. */
function unreadable(path: string, thrown: unknown): Damage {
  const unread = toProblem(thrown);
  return { kind: 'damaged', path, why: unread.message, unread };
}

type Damage = Extract<ReleaseCheck, { kind: 'damaged' }>;

type ReleaseChecker = (
  disk: Disk,
  layout: Layout,
  input: CheckInput,
) => Promise<ReleaseCheck | null>;

/** Null when the release has no seal whose every line can be read. */
export const bySeal: ReleaseChecker = (disk, layout, input) =>
  reading(disk, sealFile(layout, input.version), (seal) =>
    new Checker(disk, input, false).run(seal),
  );

const byAdoptedSeal: ReleaseChecker = (disk, layout, input) =>
  reading(disk, adoptedSealFile(layout, input.version), (seal) =>
    new Checker(disk, input, true).run(seal),
  );

/** Null when the release has no recipe that can be read. */
export const byRecipe: ReleaseChecker = (disk, layout, input) =>
  reading(disk, recipeFile(layout, input.version), async (recipe) => {
    const files = await filesOfRecipe(recipe);
    return files && (await lookByRecipe(disk, input, files));
  });

async function reading<T>(
  disk: Disk,
  path: string,
  run: (file: DiskFile) => Promise<T | null>,
): Promise<T | null> {
  if ((await disk.kind(path)) !== 'file') return null;
  const file = await disk.open(path, 'read');
  try {
    return await run(file);
  } finally {
    await file.close();
  }
}

async function lookByRecipe(
  disk: Disk,
  { tree, known, mayHash, isOnlyLost = false, isOnTrial = false }: CheckInput,
  files: AsyncIterable<RecipeEntry>,
): Promise<ReleaseCheck> {
  const buffer = new Uint8Array(LIMITS.stageReadBytes);
  let forbidden: unknown = null;
  for await (const entry of files) {
    const { path } = entry;
    if (known.has(path) || (isOnTrial && !isProgramMode(entry.mode))) continue;
    try {
      const why = wrongByRecipe(entry, await disk.stat(`${tree}/${path}`), { isOnlyLost });
      if (why !== null) return { kind: 'damaged', path, why };
      // There is no hash to compare: read all the same, since a dying disk shows in nothing else.
      if (!isOnlyLost && mayHash()) await hashFile(disk, `${tree}/${path}`, buffer);
    } catch (thrown) {
      if (!isForbidden(thrown)) return unreadable(path, thrown);
      forbidden ??= thrown;
    }
  }
  if (forbidden) throw forbidden;
  return { kind: 'whole', isHashed: false, isByRecipe: true };
}

class Checker {
  readonly #disk: Disk;
  readonly #input: CheckInput;
  readonly #hash = new Sha256Stream();
  #damage: Damage | null = null;
  /** Why a file could not be checked that may be intact: the user lacks the right. */
  #forbidden: unknown = null;
  #isHashed = true;
  /** As many as files are hashed in parallel; reused. */
  readonly #buffers: Uint8Array[] = [];

  /** The files may be the application's own: it counts how many are there, and which are not. */
  readonly #mayBeOwn: boolean;
  #there = 0;
  #lost: { count: number; path: string } | null = null;

  constructor(disk: Disk, input: CheckInput, isAdopted: boolean) {
    this.#disk = disk;
    this.#input = input;
    this.#mayBeOwn = isAdopted || input.isOnTrial === true;
  }

  /** Null for a seal that is torn. */
  async run(seal: DiskFile): Promise<ReleaseCheck | null> {
    let isFirst = true;
    let batch: SealEntry[] = [];
    for await (const line of linesOf(seal)) {
      const end = parseSealEnd(line);
      if (end !== null) {
        await this.#checkBatch(batch);
        if (end !== this.#hash.digestHex()) break;
        return this.#verdict();
      }
      this.#hash.update(Buffer.from(`${line}\n`));
      const entry = isFirst ? null : parseSealEntry(line);
      if (isFirst ? line !== SEAL_MARK : entry === null) break;
      isFirst = false;
      if (entry) batch.push(entry);
      if (batch.length < LIMITS.sealLooksMax) continue;
      await this.#checkBatch(batch);
      batch = [];
    }
    return null;
  }

  #verdict(): ReleaseCheck {
    if (this.#forbidden && !this.#damage) throw this.#forbidden;
    const [lost, isHashed] = [this.#lost ?? undefined, this.#isHashed];
    if (lost && this.#there === 0) {
      return { kind: 'damaged', path: '.', why: `all ${lost.count} files are gone or empty` };
    }
    return this.#damage ?? { kind: 'whole', isHashed, lost };
  }

  async #checkBatch(batch: readonly SealEntry[]): Promise<void> {
    if (this.#damage) return;
    await Promise.all(batch.map((entry) => this.#lookAt(entry)));
  }

  async #lookAt(entry: SealEntry): Promise<void> {
    const [, path] = entry;
    // After going back for it once, it counts as the application's own; but no application removes
    // its programs.
    if (this.#input.known.has(path) && !isProgram(entry)) return;
    try {
      const why = await (this.#mayBeOwn ? this.#wrongFound(entry) : this.#wrong(entry));
      if (why !== null) this.#damage ??= { kind: 'damaged', path, why };
    } catch (thrown) {
      if (isForbidden(thrown)) this.#forbidden ??= thrown;
      else this.#damage ??= unreadable(path, thrown);
    }
  }

  async #wrong(entry: SealEntry): Promise<string | null> {
    const at = `${this.#input.tree}/${entry[1]}`;
    const { kind, bytes, mode } = await this.#disk.stat(at);
    const want = { f: 'file', d: 'folder', l: 'link' }[entry[0]];
    if (kind !== want) return `got ${kind}, want a ${want}`;
    if (entry[0] === 'l') {
      if (this.#input.isOnlyLost === true) return null;
      const target = await this.#disk.readlink(at);
      return target === entry[2] ? null : `leads to ${target}, want ${entry[2]}`;
    }
    const lost = lostRights(entry[2], mode);
    if (lost !== null || entry[0] === 'd') return lost;
    if (bytes > 0 && this.#mayDiffer(entry)) return null;
    if (bytes !== entry[3]) return `got ${bytes} bytes, want ${entry[3]}`;
    if (!this.#input.mayHash()) {
      this.#isHashed = false;
      return null;
    }
    return (await this.#hashOf(at)) === entry[4]
      ? null
      : 'its bytes are others than were installed';
  }

  /** When only losses count, a program of another size is damage: no application writes those. */
  #mayDiffer(entry: SealEntry): boolean {
    if (this.#input.known.has(entry[1])) return true;
    return this.#input.isOnlyLost === true && !isProgram(entry);
  }

  /** Changed bytes are the application's, unreadable bytes are damage. */
  async #wrongFound(entry: SealEntry): Promise<string | null> {
    if (entry[0] !== 'f') return null;
    const [, path, modeBefore, bytesBefore] = entry;
    const at = `${this.#input.tree}/${path}`;
    const { kind, bytes, mode } = await this.#disk.stat(at);
    if (kind === 'file' && (bytes > 0 || bytesBefore === 0)) {
      this.#there += 1;
      if (isProgram(entry) && !isProgramMode(mode)) return lostRights(modeBefore, mode);
      if (this.#input.isOnlyLost === true) return null;
      if (this.#input.mayHash()) await this.#hashOf(at);
      else this.#isHashed = false;
      return null;
    }
    this.#lost = { count: (this.#lost?.count ?? 0) + 1, path: this.#lost?.path ?? path };
    if (!isProgram(entry)) return null;
    return kind === 'file' ? `got 0 bytes, want ${bytesBefore}` : `got ${kind}, want a file`;
  }

  async #hashOf(path: string): Promise<string> {
    const buffer = this.#buffers.pop() ?? new Uint8Array(LIMITS.stageReadBytes);
    try {
      return (await hashFile(this.#disk, path, buffer)).sha256;
    } finally {
      this.#buffers.push(buffer);
    }
  }
}

/** Lines of a seal; one that is longer than any of ours ends it. */
async function* linesOf(file: DiskFile): AsyncGenerator<string> {
  const buffer = new Uint8Array(LIMITS.stageInflateBytes);
  let rest = Buffer.alloc(0);
  for (let atByte = 0; rest.byteLength <= LIMITS.sealLineBytesMax;) {
    const got = await file.read(buffer, atByte);
    if (got === 0) return;
    atByte += got;
    rest = Buffer.concat([rest, buffer.subarray(0, got)]);
    for (let cut = rest.indexOf(10); cut >= 0; cut = rest.indexOf(10)) {
      yield rest.subarray(0, cut).toString('utf8');
      rest = rest.subarray(cut + 1);
    }
  }
}
