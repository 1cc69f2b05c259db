/**
 * Notices an engine that stops retaining messages while we are attached. After each connection, and
 * periodically, a separate connection asks for the messages that the engine should retain. We
 * publish missing messages again. If the engine acknowledges one and loses it again, it is reported
 * as ENGINE_UNFIT, as at the start. The check subscribes to exact filters only, so it sends robots
 * nothing while all is well.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { EngineProfile } from '../mqtt/engine-profile.ts';
import { judgeKept, type Kept } from './engine-needs.ts';
import { EngineLink, untilAnswered, type EngineAddress } from './link.ts';
import { tryRetained } from './trial.ts';

export interface RetainedWatchOptions {
  readonly address: EngineAddress;
  readonly profile: EngineProfile;
  /** Client id of this data folder; the watch adds a suffix of its own. */
  readonly clientId: string;
  readonly log: Log;
  /** Topics that the engine has sent on this connection, or acknowledged and echoed. */
  expected(): readonly string[];
  /** Called with topics that the engine does not send any more: they are to be published again. */
  lost(topics: readonly string[]): void;
  /** Called with the problem of the engine; null when there is none. */
  tell(problem: Problem | null): void;
}

export class RetainedWatch {
  readonly #options: RetainedWatchOptions;
  /** Topics that were missing at the last check, and were published again after it. */
  #owed: ReadonlySet<string> = new Set();
  #isNew = false;
  #isUnfit = false;
  #checkedAtMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #checking: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: RetainedWatchOptions) {
    this.#options = options;
  }

  /** Call after a new connection, when all retained messages have arrived over it. */
  soon({ isTried = false } = {}): void {
    this.#isNew ||= !isTried;
    this.#plan(0);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#checking;
  }

  #plan(inMs: number): void {
    if (this.#isClosed || this.#checking) return;
    if (this.#timer) clearTimeout(this.#timer);
    const earliest = this.#checkedAtMs + LIMITS.retrySoonMs - performance.now();
    this.#timer = setTimeout(() => this.#begin(), Math.max(inMs, earliest, 0));
    this.#timer.unref();
  }

  #begin(): void {
    const check = this.#check().finally(() => {
      this.#checking = null;
      this.#checkedAtMs = performance.now();
      const isUrgent = this.#isNew || this.#isUnfit || this.#owed.size > 0;
      this.#plan(isUrgent ? LIMITS.retrySoonMs : LIMITS.retainedLookMs);
    });
    inBackground(this.#options.log, 'check what the engine retains', check);
    this.#checking = check.catch(() => undefined); // logged by `inBackground`
  }

  async #check(): Promise<void> {
    try {
      await this.#judge();
    } catch (error) {
      // There is no link now, or this connection is refused: the other connections report that.
      if (!(error instanceof DroverError)) throw error;
      this.#options.log.debug({ problem: toProblem(error) }, 'could not check what is retained');
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

  /** Asks for a limited number of topics at a time: NATS grants one client at most 63 filters. */
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
        await untilAnswered(() => some.every((topic) => heard.has(topic)));
        await link.wire.unsubscribe(some);
      }
    } finally {
      await link.close();
    }
    // Topics that were cleared or replaced meanwhile are not lost: the intake has received that.
    const still = new Set(this.#options.expected());
    const missing = expected.filter((topic) => !heard.has(topic) && still.has(topic));
    return { missing, takes: true };
  }
}
