/**
 * Chunks that the leader hands on to its members. One that it has is not fetched again, so the link
 * to the fleet carries each once, also when a member was replaced. A chunk is what its hash says,
 * and is hashed before it is kept and before it is handed on; members hash it again.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { isSha256Hex, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import type { Log } from '../../shared/base/ports.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Disk } from '../install/disk-port.ts';
import type { PullLink, PullListener } from '../update/download.ts';

interface Wanted {
  readonly answer: Promise<Uint8Array | null>;
  readonly settle: (bytes: Uint8Array | null) => void;
}

/** Questions to the fleet for one chunk before it is given up. */
const ASKS = 3;

export class HandOn implements PullListener {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #pulls: PullLink;
  readonly #log: Log;
  /** Bytes of each chunk that is kept, the one that was used last at the end. */
  readonly #kept = new Map<Sha256Hex, number>();
  readonly #wanted = new Map<Sha256Hex, Wanted>();
  /** A chunk may come twice at one moment, and both would write beside one file. */
  readonly #writes = new SerialQueue();
  #bytesKept = 0;
  #detach: () => void = () => {};

  constructor(disk: Disk, folder: string, { pulls, log }: { pulls: PullLink; log: Log }) {
    this.#disk = disk;
    this.#folder = folder;
    this.#pulls = pulls;
    this.#log = log;
  }

  /** Never rejects: without its folder each chunk comes from the fleet. */
  async open(): Promise<void> {
    this.#detach = this.#pulls.attach(this);
    try {
      await this.#disk.mkdir(this.#folder);
      for (const name of await this.#disk.list(this.#folder)) {
        const { bytes } = await this.#disk.stat(this.#path(name));
        if (isSha256Hex(name)) this.#note(name, bytes);
        else await this.#disk.unlink(this.#path(name)); // half written before a power cut
      }
    } catch (thrown) {
      const problem = toProblem(thrown);
      this.#log.warn({ problem }, 'chunks for other computers are not kept');
    }
  }

  close(): void {
    this.#detach();
    for (const { settle } of this.#wanted.values()) settle(null);
  }

  /** Null when neither this computer nor the fleet has it now. Never rejects. */
  async get(hash: Sha256Hex): Promise<Uint8Array | null> {
    const kept = await this.#read(hash).catch(() => null); // a disk that refuses: asked for again
    return kept ?? (await (this.#wanted.get(hash)?.answer ?? this.#ask(hash)));
  }

  async onChunk(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    const wanted = this.#wanted.get(hash);
    if (!wanted) return;
    const copy = Uint8Array.from(bytes); // a view of the link
    await this.#writes
      .run(() => this.#keep(hash, copy))
      .catch((thrown: unknown) => {
        this.#log.debug({ problem: toProblem(thrown) }, 'chunk for other computers was not kept');
      });
    wanted.settle(copy); // before that a second question would go to the fleet again
  }

  onUp(): void {
    const hashes = [...this.#wanted.keys()];
    if (hashes.length > 0) this.#pulls.subscribeChunks(hashes);
  }

  onDown(): void {
    // Each question has a time-out.
  }

  async #ask(hash: Sha256Hex): Promise<Uint8Array | null> {
    let settle: Wanted['settle'] = () => {};
    const answer = new Promise<Uint8Array | null>((resolve) => (settle = resolve));
    this.#wanted.set(hash, { answer, settle });
    let asks = 0;
    const ask = (): void => {
      asks += 1;
      if (asks > ASKS) return settle(null);
      if (!this.#pulls.isUp) return;
      this.#pulls.subscribeChunks([hash]);
      if (asks > 1) this.#pulls.wantChunks([hash]);
    };
    const timer = setInterval(ask, LIMITS.memberChunkWaitMs / ASKS);
    ask();
    try {
      return await answer;
    } finally {
      clearInterval(timer);
      this.#wanted.delete(hash);
      if (this.#pulls.isUp) this.#pulls.unsubscribeChunks([hash]);
    }
  }

  async #read(hash: Sha256Hex): Promise<Uint8Array | null> {
    if (!this.#kept.has(hash)) return null;
    const bytes = await this.#disk.readFile(this.#path(hash), LIMITS.chunkBytesMax);
    if (bytes !== null && sha256Hex(bytes) === hash) {
      this.#note(hash, bytes.byteLength);
      return bytes;
    }
    await this.#remove(hash);
    return null;
  }

  async #keep(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    if (this.#kept.has(hash)) return;
    const { bytes: free } = await this.#disk.free(this.#folder);
    if (free < LIMITS.memberCacheRoomMin + bytes.byteLength) {
      throw new DroverError('DISK_FULL', 'keep chunk for other computers: little room is left');
    }
    await this.#write(hash, bytes);
    this.#note(hash, bytes.byteLength);
    for (const oldest of this.#kept.keys()) {
      if (this.#bytesKept <= LIMITS.memberCacheBytesMax) break;
      await this.#remove(oldest);
    }
  }

  /** Not synced: what a power cut leaves of it has another hash, and is removed when it is read. */
  async #write(hash: Sha256Hex, bytes: Uint8Array): Promise<void> {
    const beside = `${this.#path(hash)}.new`;
    const file = await this.#disk.open(beside, 'create', 0o600);
    try {
      await file.write(bytes, 0);
    } finally {
      await file.close();
    }
    await this.#disk.rename(beside, this.#path(hash));
  }

  #note(hash: Sha256Hex, bytes: number): void {
    this.#bytesKept += bytes - (this.#kept.get(hash) ?? 0);
    this.#kept.delete(hash);
    this.#kept.set(hash, bytes);
  }

  async #remove(hash: Sha256Hex): Promise<void> {
    this.#bytesKept -= this.#kept.get(hash) ?? 0;
    this.#kept.delete(hash);
    await this.#disk.unlink(this.#path(hash));
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`;
  }
}
