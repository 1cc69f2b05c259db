/**
 * Fetches every chunk of the announced bundles to this site, once, with the pull engine that robots
 * use. A chunk counts when its hash is checked and it is on the disk. A chunk in the store is never
 * asked for, also after a restart, because the store itself is asked. Chunks that robots wait for
 * come first.
 */

import type { Rollout } from '../../shared/formats/announcement.ts';
import { chunksOfIndex, indexesOf } from '../../shared/formats/bundle-chunks.ts';
import { toProblem, type Problem } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { MonoMs, RobotId, Sha256Hex } from '../../shared/base/ids.ts';
import { MemoryFloor } from '../../shared/io/memory-floor.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import type { Log, Wire, WritableChunkStore } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import { ChunkPull, type PullEffect } from '../../shared/transfer/pull.ts';
import { chunkTopic, robotTopic } from '../../shared/formats/topics.ts';
import { SiteWishes, type BundleView } from './missing.ts';

export interface SiteChunksOptions {
  /** Name of this relay: it publishes `want` as a robot does. */
  readonly name: string;
  readonly chunks: WritableChunkStore;
  readonly bytesPerSecondMax: number | null;
  readonly log: Log;
  /** A monotonic clock, in milliseconds. */
  now(): MonoMs;
  wire(): Wire;
  /** The announced rollouts, verified. */
  rollouts(): readonly Rollout[];
  /** The chunk is in the store: robots that wait for it get it. */
  onStored(hash: Sha256Hex, bytes: number): void;
}

export class SiteChunks {
  readonly #options: SiteChunksOptions;
  readonly #wishes = new SiteWishes(LIMITS.relayWantsMax);
  readonly #memory = new MemoryFloor();
  /** Chunks that were subscribed to on this connection and have not arrived. */
  readonly #subscribed = new Set<Sha256Hex>();
  /** As of the last announcement. */
  #rollouts: readonly Rollout[] = [];
  /** Rollouts whose chunks were looked up in the store, with the artifacts that they had then. */
  readonly #looked = new Map<string, string>();
  #pull: ChunkPull | null = null;
  #timer: NodeJS.Timeout | null = null;
  readonly #retry: NodeJS.Timeout;
  /** Serial: a chunk must not arrive while it is looked up in the store. */
  readonly #lane = new SerialQueue();
  #heardAtMs: MonoMs = -Infinity;
  #isUp = false;
  #isClosed = false;
  #problem: Problem | null = null;

  constructor(options: SiteChunksOptions) {
    this.#options = options;
    this.#retry = setInterval(() => this.#again(), LIMITS.relayRetryMs);
  }

  get views(): BundleView[] {
    return this.#wishes.views();
  }

  get missing(): number {
    return this.#wishes.missingCount;
  }

  get problem(): Problem | null {
    return this.#problem;
  }

  up(): void {
    this.#isUp = true;
    this.#go();
  }

  down(): void {
    this.#isUp = false;
    this.#subscribed.clear();
    this.#pull?.down();
    this.#setTimer();
  }

  /** Call when the announcements have changed. */
  announced(): void {
    this.#enqueue(async () => {
      this.#rollouts = this.#options.rollouts();
      const ids: readonly string[] = this.#rollouts.map(({ id }) => id);
      this.#drop(this.#wishes.keepOnly(ids));
      for (const id of this.#looked.keys()) if (!ids.includes(id)) this.#looked.delete(id);
      await this.#lookAtNew();
      // a chunk that found no room is not needed any more
      if (this.missing === 0) this.#problem = null;
    });
  }

  /** A robot subscribed to this chunk. */
  asked(hash: Sha256Hex): void {
    if (this.#wishes.awaited(hash)) this.#add([hash], 'first');
  }

  /** Robots published a want for these chunks; those in the store they get from there. */
  wanted(hashes: readonly Sha256Hex[]): void {
    this.#enqueue(async () => {
      for (const hash of hashes) {
        if (this.#wishes.isMissing(hash)) this.asked(hash);
        else if (this.#wishes.isNeeded(hash) && !(await this.#options.chunks.has(hash))) {
          this.#wishes.lost(hash);
          this.asked(hash);
        }
      }
    });
  }

  /** A chunk was published on this site. */
  stored(hash: Sha256Hex): void {
    if (!this.#wishes.isMissing(hash)) return;
    this.#enqueue(async () => await this.#here(hash, 0));
  }

  /** The wire awaits it, so that a slow disk slows the link instead of filling memory. */
  async deliver(payload: Uint8Array): Promise<void> {
    const hash = sha256Hex(payload);
    // not wanted, or forged: the hash that it should have had stays missing
    if (!this.#wishes.isMissing(hash)) return;
    this.#heardAtMs = this.#now();
    this.#enqueue(async () => {
      if (!this.#wishes.isMissing(hash)) return;
      try {
        await this.#options.chunks.put(hash, payload);
      } catch (error) {
        return this.#halt(error);
      }
      this.#problem = null;
      this.#options.onStored(hash, payload.byteLength);
      await this.#here(hash, payload.byteLength);
    });
    await this.#lane.idle();
    this.#heardAtMs = this.#now();
    this.#memory.passed(payload.byteLength);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#retry);
    if (this.#timer) clearTimeout(this.#timer);
    await this.#lane.idle();
  }

  async #here(hash: Sha256Hex, bytes: number): Promise<void> {
    this.#wishes.here(hash);
    // Before the pull ends: an index that has arrived names the chunks to go on with.
    for (const rollout of this.#rollouts) {
      if (indexesOf(rollout).has(hash)) await this.#checkRollout(rollout);
    }
    this.#effects(this.#pull?.kept(hash, bytes, this.#now()) ?? []);
  }

  async #lookAtNew(): Promise<void> {
    for (const rollout of this.#rollouts) {
      const artifacts = JSON.stringify(rollout.artifacts); // robots never ask for attachments
      if (this.#looked.get(rollout.id) === artifacts) continue;
      await this.#checkRollout(rollout);
      this.#looked.set(rollout.id, artifacts);
    }
  }

  /**
   * Looks up the chunks of a rollout in the store; the rest is missing, in the order of the
   * payload.
   */
  async #checkRollout(rollout: Rollout): Promise<void> {
    const { chunks, log } = this.#options;
    const needed = new Set<Sha256Hex>();
    const missing = new Set<Sha256Hex>();
    let isKnown = true;
    for (const index of indexesOf(rollout)) {
      needed.add(index);
      const bytes = await chunks.get(index);
      if (!bytes) {
        isKnown = false;
        missing.add(index);
        continue;
      }
      try {
        for (const chunk of chunksOfIndex(rollout, index, bytes)) needed.add(chunk);
      } catch (error) {
        // No robot takes this artifact either; the rest of the bundle may be good.
        log.error({ rollout: rollout.id, problem: toProblem(error) }, 'index not understood');
      }
    }
    for (const hash of needed) if (!(await chunks.has(hash))) missing.add(hash);
    const fresh = this.#wishes.learn({ id: rollout.id, needed, isKnown }, missing);
    if (fresh.length > 0) {
      log.info({ rollout: rollout.id, chunks: fresh.length }, 'chunks to be pulled');
    }
    this.#add(fresh, 'last');
  }

  #add(hashes: readonly Sha256Hex[], place: 'first' | 'last'): void {
    if (hashes.length === 0) return;
    if (this.#pull) this.#effects(this.#pull.add(hashes, place, this.#now()));
    else this.#go();
  }

  #drop(hashes: readonly Sha256Hex[]): void {
    for (const hash of hashes) this.#effects(this.#pull?.kept(hash, 0, this.#now()) ?? []);
  }

  #now(): MonoMs {
    return this.#options.now();
  }

  #go(): void {
    const missing = this.#wishes.toPull;
    if (!this.#isUp || this.#isClosed) return;
    if (!this.#pull && missing.length > 0) {
      this.#pull = new ChunkPull({
        missing,
        chunkBytes: this.#chunkBytes(),
        bytesPerSecondMax: this.#options.bytesPerSecondMax,
      });
    }
    this.#effects(this.#pull?.up(this.#now()) ?? []);
  }

  #chunkBytes(): number {
    const sizes = this.#rollouts.flatMap(({ artifacts }) => artifacts.map((one) => one.chunk_size));
    return Math.max(LIMITS.chunkBytesMin, ...sizes);
  }

  /** The upstream may have received what it lacked, and the store may have room again. */
  #again(): void {
    this.#enqueue(async () => {
      await this.#lookAtNew(); // the store may have failed the last time
      const again = this.#wishes.retry();
      if (this.#pull) this.#add(again, 'last');
      else this.#go();
    });
  }

  /** The store has no room: nothing is fetched that could not be kept. */
  #halt(error: unknown): void {
    this.#problem = toProblem(error);
    this.#options.log.error({ problem: this.#problem }, 'could not store chunk, download paused');
    this.#pull = null;
    this.#setTimer();
    if (this.#isUp && this.#subscribed.size > 0) this.#unsubscribe([...this.#subscribed]);
  }

  #effects(effects: readonly PullEffect[]): void {
    for (const effect of effects) this.#effect(effect);
    this.#setTimer();
  }

  #effect(effect: PullEffect): void {
    switch (effect.kind) {
      case 'subscribe':
        for (const hash of effect.hashes) this.#subscribed.add(hash);
        return this.#tolerate(this.#options.wire().subscribe(effect.hashes.map(chunkTopic), 1));
      case 'unsubscribe':
        return this.#unsubscribe(effect.hashes);
      case 'want':
        return this.#want(effect.hashes);
      case 'gaveUp':
      case 'done':
        this.#pull = null; // chunks that were set aside or failed are tried again in the next pass
    }
  }

  #want(hashes: readonly Sha256Hex[]): void {
    const { name, log } = this.#options;
    const at = new Date().toISOString();
    const want = { robot_id: name, at, chunks: [...hashes] };
    const topic = robotTopic(name as RobotId, 'want');
    const sent = this.#options.wire().send(topic, encodeMessage(want), { retain: false, qos: 1 });
    this.#tolerate(sent);
    const enough = this.#wishes.wanted(hashes);
    if (enough.length === 0) return;
    log.warn({ chunks: enough.length, first: enough[0] }, 'the upstream lacks chunks');
    this.#drop(enough);
  }

  #unsubscribe(hashes: readonly Sha256Hex[]): void {
    for (const hash of hashes) this.#subscribed.delete(hash);
    this.#tolerate(this.#options.wire().unsubscribe(hashes.map(chunkTopic)));
  }

  #setTimer(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const wakeAtMs = this.#pull?.wakeAtMs ?? null;
    if (wakeAtMs === null || this.#isClosed) return;
    this.#timer = setTimeout(() => this.#onTime(), Math.max(0, wakeAtMs - this.#now()));
  }

  /**
   * Chunks that arrive prove that the others are behind them: a site that is busy with its disk and
   * its robots must not ask for those again. A part of a chunk on a slow link proves the same.
   */
  #onTime(): void {
    const heardAtMs = Math.max(this.#heardAtMs, this.#options.wire().bodyAtMs ?? -Infinity);
    this.#effects(this.#pull?.timer(this.#now(), heardAtMs) ?? []);
  }

  /** The pull's own timer repeats a request that was lost; the failure is only logged. */
  #tolerate(request: Promise<void>): void {
    request.catch((error: unknown) => {
      this.#options.log.debug({ error: String(error) }, 'chunk link of the upstream');
    });
  }

  /** Logs a failure, and the next task runs all the same. */
  #enqueue(task: () => Promise<void>): void {
    this.#lane.run(task).catch((error: unknown) => {
      this.#options.log.error({ problem: toProblem(error) }, 'chunks of the site');
    });
  }
}
