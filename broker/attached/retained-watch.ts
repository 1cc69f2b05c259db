/**
 * Notices an engine that stops retaining while we are attached: after each connection, and now and
 * then, another connection asks for what the engine should hold. What it does not hand out is put
 * back; what it does not keep then either, though it acknowledged it, is ENGINE_UNFIT, as at the
 * start. Reads with exact filters only, so no robot hears of a look while all is well.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { EngineProfile } from '../mqtt/engine-profile.ts';
import { judgeKept, type Kept } from './engine-needs.ts';
import { EngineLink, type EngineAddress } from './link.ts';
import { tryRetained } from './trial.ts';

export interface RetainedWatchOptions {
  readonly address: EngineAddress;
  readonly profile: EngineProfile;
  /** Of this data folder; the watch adds a word of its own. */
  readonly clientId: string;
  readonly log: Log;
  /** Topics that the engine has brought on this connection, or acknowledged and echoed. */
  expected(): readonly string[];
  /** The engine does not hand them out any more: they are to be put back. */
  lost(topics: readonly string[]): void;
  /** What is wrong with the engine; null when nothing is. */
  tell(problem: Problem | null): void;
}

export class RetainedWatch {
  readonly #options: RetainedWatchOptions;
  /** Missing at the last look, and put back after it. */
  #owed: ReadonlySet<string> = new Set();
  #isNew = false;
  #isUnfit = false;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: RetainedWatchOptions) {
    this.#options = options;
  }

  /** There is a new connection, and all that the engine retains has come over it. */
  soon({ isTried = false } = {}): void {
    this.#isNew ||= !isTried;
    this.#plan(0);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#looking;
  }

  #plan(inMs: number): void {
    if (this.#isClosed || this.#looking) return;
    if (this.#timer) clearTimeout(this.#timer);
    const earliest = this.#lookedAtMs + LIMITS.secondLookMs - performance.now();
    this.#timer = setTimeout(() => this.#begin(), Math.max(inMs, earliest, 0));
    this.#timer.unref();
  }

  #begin(): void {
    const look = this.#look().finally(() => {
      this.#looking = null;
      this.#lookedAtMs = performance.now();
      const isUrgent = this.#isNew || this.#isUnfit || this.#owed.size > 0;
      this.#plan(isUrgent ? LIMITS.secondLookMs : LIMITS.retainedLookMs);
    });
    this.#looking = look.catch(() => undefined); // logged below
    inBackground(this.#options.log, 'look what the engine retains', look);
  }

  async #look(): Promise<void> {
    try {
      await this.#judge();
    } catch (error) {
      // No link now, or not for us: the other connections tell that.
      if (!(error instanceof DroverError)) throw error;
      this.#options.log.debug({ problem: toProblem(error) }, 'could not look what is retained');
    }
  }

  async #judge(): Promise<void> {
    const { profile, lost, tell, log } = this.#options;
    const isDue = this.#isNew || this.#isUnfit;
    this.#isNew = false;
    let kept = await this.#kept();
    const mayTry = profile.isTried && (isDue || kept.missing.length > 0);
    const takes = mayTry ? await tryRetained(this.#options) : null;
    if (takes === false) kept = { ...kept, takes };
    const problem = judgeKept(kept, this.#owed);
    this.#owed = new Set(kept.missing);
    if (kept.missing.length > 0) {
      log.warn({ topics: kept.missing.slice(0, 8) }, 'the engine lost what it had acknowledged');
      lost(kept.missing);
    }
    this.#isUnfit = problem !== null;
    tell(problem);
  }

  /** Some topics at a time: NATS grants one client no more than 63 filters. */
  async #kept(): Promise<Kept> {
    const expected = this.#options.expected();
    const { address, clientId, log } = this.#options;
    const heard = new Set<string>();
    const onMessage = async (topic: string, payload: Uint8Array): Promise<void> => {
      if (payload.byteLength > 0) heard.add(topic);
    };
    const link = await EngineLink.open(
      { ...address, clientId: `${clientId}-look` },
      { onMessage },
      log,
    );
    try {
      for (let at = 0; at < expected.length; at += LIMITS.lookTopicsMax) {
        const some = expected.slice(at, at + LIMITS.lookTopicsMax);
        await link.wire.subscribe(some, 1);
        await until(() => some.every((topic) => heard.has(topic)));
        await link.wire.unsubscribe(some);
      }
    } finally {
      await link.close();
    }
    // What was cleared or replaced meanwhile is another matter: the intake has heard of it.
    const still = new Set(this.#options.expected());
    const missing = expected.filter((topic) => !heard.has(topic) && still.has(topic));
    return { missing, takes: true };
  }
}

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + LIMITS.trialAnswerMs;
  while (!holds() && performance.now() < end) await sleep(LIMITS.trialLookMs);
}
