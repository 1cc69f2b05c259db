/**
 * Reads stored chunks back from a broker, with the pull that robots use, and lists the missing
 * ones. An acknowledgement is only a promise; what counts is that the bytes come out again with the
 * hash that was asked for.
 */

import { countOf } from '../base/printable.ts';
import { DroverError } from '../base/errors.ts';
import { sha256Hex } from '../crypto/hash.ts';
import type { MonoMs, Sha256Hex } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Wire } from '../base/ports.ts';
import { ChunkPull, type PullEffect, type PullOptions } from '../transfer/pull.ts';
import { chunkTopic, parseTopic } from '../formats/topics.ts';

interface ReadBackListener {
  onMessage(topic: string, payload: Uint8Array): Promise<void>;
  onUp(): void;
  onDown(): void;
}

/** A link that others may use as well: listeners come and go. */
export interface ReadBackLink {
  readonly wire: Wire;
  /** @returns a function that ends the listening */
  listen(listener: ReadBackListener): () => void;
  /** Resolves when the link is up. @throws DroverError when it does not come back */
  waitUp(): Promise<void>;
}

export interface ReadBackJob extends Omit<PullOptions, 'missing'> {
  readonly hashes: readonly Sha256Hex[];
  /** Silence after which a chunk counts as missing; slow links need more. */
  readonly patienceMs: number;
  /** QoS of the subscriptions; 1 unless the engine wants another. */
  readonly qos?: 0 | 1;
  /** Awaited before the next one is read. The bytes are a view: copy what is kept. */
  readonly onPresent: (hash: Sha256Hex, bytes: Uint8Array) => void | Promise<void>;
}

/**
 * @returns the hashes that did not come. When the broker answers nothing at all, or too many are
 *   missing, the rest is not waited for one by one but counted as missing too.
 * @throws DroverError ACCESS_DENIED, BROKER_UNREACHABLE, UPLOAD_INCOMPLETE
 */
export async function readBack(link: ReadBackLink, job: ReadBackJob): Promise<Sha256Hex[]> {
  const reading = new ReadBack(link, job);
  try {
    return await reading.run();
  } finally {
    reading.close();
  }
}

class ReadBack {
  readonly #link: ReadBackLink;
  readonly #job: ReadBackJob;
  readonly #pull: ChunkPull;
  readonly #askedAtMs = new Map<Sha256Hex, MonoMs>();
  readonly #absent = new Set<Sha256Hex>();
  readonly #unseen: Set<Sha256Hex>;
  readonly #stop: () => void;
  #resolve: (absent: Sha256Hex[]) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #timer: NodeJS.Timeout | null = null;
  readonly #silenceTimer: NodeJS.Timeout;
  #lastPresentAtMs: MonoMs = -Infinity;
  #cutsInARow = 0;
  #closed = false;

  constructor(link: ReadBackLink, job: ReadBackJob) {
    this.#link = link;
    this.#job = job;
    this.#unseen = new Set(job.hashes);
    this.#pull = new ChunkPull({ ...job, missing: job.hashes });
    this.#stop = link.listen({
      onMessage: (topic, payload) => this.#onMessage(topic, payload),
      onUp: () => this.#effects(this.#pull.up(performance.now())),
      onDown: () => this.#onDown(),
    });
    this.#silenceTimer = setInterval(
      () => this.#onSilence(performance.now()),
      LIMITS.readBackCheckMs,
    );
  }

  async run(): Promise<Sha256Hex[]> {
    const done = new Promise<Sha256Hex[]>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (this.#link.wire.isUp) this.#effects(this.#pull.up(performance.now()));
    else this.#onDown();
    return await done;
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    clearInterval(this.#silenceTimer);
    if (this.#timer) clearTimeout(this.#timer);
  }

  async #onMessage(topic: string, payload: Uint8Array): Promise<void> {
    if (parseTopic(topic)?.kind !== 'chunk') return;
    const hash = sha256Hex(payload);
    if (!this.#pull.isMissing(hash)) return; // not ours, or poisoned: its own hash stays missing
    this.#unseen.delete(hash);
    this.#askedAtMs.delete(hash);
    this.#lastPresentAtMs = performance.now();
    this.#cutsInARow = 0;
    try {
      await this.#job.onPresent(hash, payload);
    } catch (error) {
      return this.#reject(error);
    }
    this.#effects(this.#pull.kept(hash, payload.byteLength, this.#lastPresentAtMs));
  }

  #onDown(): void {
    this.#pull.down();
    this.#askedAtMs.clear(); // on the next link, requests and waiting times start again
    this.#cutsInARow += 1;
    if (this.#cutsInARow > LIMITS.uploadAttemptsMax) {
      const why = `the link broke ${countOf(this.#cutsInARow, 'time')} without progress`;
      this.#reject(new DroverError('UPLOAD_INCOMPLETE', `read chunks back: ${why}`));
      return;
    }
    this.#link.waitUp().catch((error: unknown) => this.#reject(error));
  }

  #effects(effects: readonly PullEffect[]): void {
    if (this.#closed) return; // a chunk that was being kept when the reading ended
    for (const effect of effects) this.#effect(effect);
    if (this.#timer) clearTimeout(this.#timer);
    const wakeAtMs = this.#pull.wakeAtMs;
    if (wakeAtMs === null) return;
    this.#timer = setTimeout(
      () => this.#effects(this.#pull.timer(performance.now())),
      Math.max(0, wakeAtMs - performance.now()),
    );
  }

  #effect(effect: PullEffect): void {
    switch (effect.kind) {
      case 'subscribe':
        for (const hash of effect.hashes) {
          if (!this.#askedAtMs.has(hash)) this.#askedAtMs.set(hash, performance.now());
        }
        this.#subscribe(effect.hashes);
        return;
      case 'unsubscribe':
        // Fails only with the link, and then there is no subscription left to end.
        this.#link.wire.unsubscribe(effect.hashes.map(chunkTopic)).catch(() => undefined);
        return;
      case 'want':
        return; // robots ask the fleet; a publisher has the bytes itself, see #onSilence
      case 'gaveUp':
        this.#resolve([...this.#unseen]);
        return;
      case 'done':
        this.#resolve([...this.#absent]);
        return;
    }
  }

  #subscribe(hashes: readonly Sha256Hex[]): void {
    const { qos = 1 } = this.#job;
    this.#link.wire.subscribe(hashes.map(chunkTopic), qos).catch((error: unknown) => {
      if (!isUnreachable(error)) this.#reject(error); // onDown reports a lost link
    });
  }

  /** Records chunks that did not arrive in time as missing, and continues without them. */
  #onSilence(now: MonoMs): void {
    const late = [...this.#askedAtMs].filter(([, at]) => now - at >= this.#job.patienceMs);
    if (late.length === 0) return;
    const askedAtMs = Math.min(...late.map(([, at]) => at));
    for (const [hash] of late) this.#absent.add(hash);
    // Nothing at all since the request: this store is empty, not damaged.
    const isSilent = this.#lastPresentAtMs < askedAtMs;
    if (isSilent || this.#absent.size > LIMITS.readBackAbsentMax) {
      this.#effect({ kind: 'unsubscribe', hashes: [...this.#askedAtMs.keys()] });
      this.#resolve([...this.#unseen]);
      return;
    }
    for (const [hash] of late) {
      this.#askedAtMs.delete(hash);
      this.#effects(this.#pull.kept(hash, 0, now));
    }
  }
}

function isUnreachable(error: unknown): boolean {
  return error instanceof DroverError && error.code === 'BROKER_UNREACHABLE';
}
