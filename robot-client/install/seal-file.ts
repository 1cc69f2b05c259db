/**
 * Writes the seal of a release and looks at a release by its seal. Both walk as a stream: memory
 * does not grow with the number of files. Nothing is followed out of the release.
 */

import { isByteCode } from '../../shared/rules/byte-code.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { recipeFile, sealFile, type Layout } from './layout.ts';
import type { Disk, DiskFile } from './disk-port.ts';
import { readSlots } from './read-slots.ts';
import {
  encodeSealEnd,
  encodeSealEntry,
  parseSealEnd,
  parseSealEntry,
  SEAL_MARK,
  type ReleaseCheck,
  type SealEntry,
} from './seal.ts';

/**
 * Seals the tree of a release; durable when this resolves. A seal that is there is replaced.
 * @throws DroverError DISK_FULL, DISK_WRITE_FAILED; or the signal's reason
 */
export async function writeSeal(
  disk: Disk,
  layout: Layout,
  { version, tree, signal }: { version: string; tree: string; signal?: AbortSignal | undefined },
): Promise<void> {
  await disk.mkdir(layout.seals);
  const path = sealFile(layout, version);
  const beside = `${layout.seals}/.new`;
  const file = await disk.open(beside, 'create', 0o600);
  try {
    const writer = new SealWriter(file);
    await writer.put(`${SEAL_MARK}\n`);
    for await (const entry of walk(disk, tree, '')) {
      signal?.throwIfAborted();
      await writer.put(encodeSealEntry(entry));
    }
    await writer.end();
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(beside, path);
  await disk.syncFolder(layout.seals);
}

/**
 * Seals what runs, and what can be gone back to, of an agent that made no seals. What runs is
 * confirmed, so its bytes are the ones that work. Only what Drover unpacked is sealed: a seal says
 * that Drover made the release. A disk that refuses is asked again at the next clean-up.
 */
export async function sealOldReleases(
  disk: Disk,
  layout: Layout,
  { installed, signal }: { installed: { version: string } | null; signal: AbortSignal },
): Promise<void> {
  const slots = await readSlots(disk, layout);
  for (const slot of [slots.active, slots.rollback]) {
    if (slot.kind !== 'release' || !slot.isOurs) continue;
    const { version, end } = slot;
    try {
      if ((await disk.kind(sealFile(layout, version))) !== 'absent') continue;
      const isMade = (await disk.kind(recipeFile(layout, version))) === 'file';
      if (!isMade && installed?.version !== version) continue;
      await writeSeal(disk, layout, { version, tree: end.path, signal });
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
    }
  }
}

class SealWriter {
  readonly #file: DiskFile;
  readonly #hash = new Sha256Stream();
  #waiting = '';
  #atByte = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  async put(text: string): Promise<void> {
    this.#waiting += text;
    if (this.#waiting.length > LIMITS.stageInflateBytes) await this.#flush();
  }

  async end(): Promise<void> {
    await this.#flush();
    await this.#file.write(Buffer.from(encodeSealEnd(this.#hash.digestHex())), this.#atByte);
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#waiting);
    this.#waiting = '';
    this.#hash.update(bytes);
    await this.#file.write(bytes, this.#atByte);
    this.#atByte += bytes.byteLength;
  }
}

/** @param buffer for the bytes of one file after the other: one for each file would pile up */
async function* walk(
  disk: Disk,
  tree: string,
  below: string,
  buffer = new Uint8Array(LIMITS.stageReadBytes),
): AsyncGenerator<SealEntry> {
  for (const name of await disk.list(below === '' ? tree : `${tree}/${below}`)) {
    const path = below === '' ? name : `${below}/${name}`;
    const at = `${tree}/${path}`;
    const { kind, mode } = await disk.stat(at);
    if (kind === 'folder') {
      yield ['d', path, mode];
      yield* walk(disk, tree, path, buffer);
    } else if (kind === 'link') {
      yield ['l', path, (await disk.readlink(at)) ?? ''];
    } else if (kind === 'file' && !isByteCode(path)) {
      const { bytes, sha256 } = await hashFile(disk, at, buffer);
      yield ['f', path, mode, bytes, sha256];
    }
  }
}

async function hashFile(
  disk: Disk,
  path: string,
  buffer: Uint8Array,
): Promise<{ bytes: number; sha256: string }> {
  const file = await disk.open(path, 'read');
  const hash = new Sha256Stream();
  try {
    for (let got = -1; got !== 0;) {
      got = await file.read(buffer, hash.bytes);
      hash.update(buffer.subarray(0, got));
    }
  } finally {
    await file.close();
  }
  return { bytes: hash.bytes, sha256: hash.digestHex() };
}

export interface CheckInput {
  readonly version: string;
  /** Path of the tree, without links. */
  readonly tree: string;
  /** With the hashes of the files, for as long as `mayHash` says. */
  readonly mayHash: () => boolean;
  /** Files that differed before: the application writes them itself. */
  readonly known: ReadonlySet<string>;
  /** True: only what is gone or empty is damage, not what the application may have written. */
  readonly isOnlyLost?: boolean;
}

/** Never throws for what stands on the disk: what cannot be read of a release is damage. */
export async function checkRelease(
  disk: Disk,
  layout: Layout,
  input: CheckInput,
): Promise<ReleaseCheck> {
  try {
    if ((await disk.kind(input.tree)) !== 'folder') return { kind: 'absent' };
  } catch (thrown) {
    return { kind: 'damaged', path: '.', why: toProblem(thrown).message };
  }
  try {
    const path = sealFile(layout, input.version);
    if ((await disk.kind(path)) !== 'file') return { kind: 'unknown' };
    const seal = await disk.open(path, 'read');
    try {
      return await new Checker(disk, input).run(seal);
    } finally {
      await seal.close();
    }
  } catch (thrown) {
    if (thrown instanceof DroverError) return { kind: 'unknown' }; // a seal that cannot be read
    throw thrown;
  }
}

class Checker {
  readonly #disk: Disk;
  readonly #input: CheckInput;
  readonly #hash = new Sha256Stream();
  #damage: Extract<ReleaseCheck, { kind: 'damaged' }> | null = null;
  #isHashed = true;
  /** As many as files were hashed at once: used again and again. */
  readonly #buffers: Uint8Array[] = [];

  constructor(disk: Disk, input: CheckInput) {
    this.#disk = disk;
    this.#input = input;
  }

  async run(seal: DiskFile): Promise<ReleaseCheck> {
    let isFirst = true;
    let batch: SealEntry[] = [];
    for await (const line of linesOf(seal)) {
      const end = parseSealEnd(line);
      if (end !== null) {
        await this.#look(batch);
        if (end !== this.#hash.digestHex()) break;
        return this.#damage ?? { kind: 'whole', isHashed: this.#isHashed };
      }
      this.#hash.update(Buffer.from(`${line}\n`));
      const entry = isFirst ? null : parseSealEntry(line);
      if (isFirst ? line !== SEAL_MARK : entry === null) break;
      isFirst = false;
      if (entry) batch.push(entry);
      if (batch.length < LIMITS.sealLooksMax) continue;
      await this.#look(batch);
      batch = [];
    }
    return { kind: 'unknown' };
  }

  async #look(batch: readonly SealEntry[]): Promise<void> {
    if (this.#damage) return;
    await Promise.all(batch.map((entry) => this.#lookAt(entry)));
  }

  async #lookAt(entry: SealEntry): Promise<void> {
    const [, path] = entry;
    if (this.#input.known.has(path)) return;
    try {
      const why = await this.#wrong(entry);
      if (why !== null) this.#damage ??= { kind: 'damaged', path, why };
    } catch (thrown) {
      this.#damage ??= { kind: 'damaged', path, why: toProblem(thrown).message };
    }
  }

  async #wrong(entry: SealEntry): Promise<string | null> {
    const at = `${this.#input.tree}/${entry[1]}`;
    const { kind, bytes } = await this.#disk.stat(at);
    const want = { f: 'file', d: 'folder', l: 'link' }[entry[0]];
    if (kind !== want) return `got ${kind}, want a ${want}`;
    if (entry[0] === 'l') {
      if (this.#input.isOnlyLost === true) return null;
      const target = await this.#disk.readlink(at);
      return target === entry[2] ? null : `leads to ${target}, want ${entry[2]}`;
    }
    if (entry[0] === 'd') return null;
    if (this.#input.isOnlyLost === true && bytes > 0) return null;
    if (bytes !== entry[3]) return `got ${bytes} bytes, want ${entry[3]}`;
    if (!this.#input.mayHash()) {
      this.#isHashed = false;
      return null;
    }
    const buffer = this.#buffers.pop() ?? new Uint8Array(LIMITS.stageReadBytes);
    const { sha256 } = await hashFile(this.#disk, at, buffer).finally(() =>
      this.#buffers.push(buffer),
    );
    return sha256 === entry[4] ? null : 'its bytes are others than were installed';
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
