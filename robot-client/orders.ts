/**
 * Handles the orders of the fleet: announcements, progress and new trust roots. Each is verified,
 * stored, and passed to the components. A document that was refused because of the robot itself,
 * such as its clock or its disk, is tried again.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CATALOGUE } from '../shared/base/error-catalogue.ts';
import type { Problem } from '../shared/base/errors.ts';
import type { EpochMs, MonoMs } from '../shared/base/ids.ts';
import type { Log } from '../shared/base/ports.ts';
import { parseTopic, UPDATES_TOPIC } from '../shared/formats/topics.ts';
import type { LiveTrust } from '../shared/formats/trust-chain.ts';
import { seqOfRefused } from '../shared/rules/refused-progress.ts';
import type { ComponentSet } from './component-set.ts';
import type { Inbox } from './fleet/inbox.ts';
import type { Memory } from './fleet/memory.ts';
import type { ProgressTopics } from './fleet/progress-topics.ts';
import { OrdersWatch } from './fleet/orders-watch.ts';
import { problemOf, RefusedRetry } from './fleet/retry-refused.ts';
import type { Unheard } from './fleet/unheard.ts';
import type { HeardFacts } from './update/verdict.ts';
import type { TrustFile } from './fleet/trust-store.ts';
import { LIMITS } from '../shared/base/limits.ts';

const MS_PER_ORDER = 1000 / LIMITS.ordersPerSecondMax;

export interface OrdersOptions {
  readonly components: ComponentSet;
  readonly inbox: Inbox;
  readonly memory: Memory;
  readonly trust: LiveTrust;
  readonly trustFile: TrustFile;
  readonly log: Log;
  now(): EpochMs;
  /**
   * True when another robot uses this id: the link alternates, and each time brings the list again.
   */
  isTwin(): boolean;
  readonly unheard: Unheard;
  readonly progressTopics: ProgressTopics;
  /** A fact in the report has changed. */
  onUnheard(): void;
  /** A new trust root was accepted. */
  onTrust(): void;
  /** Between two looks whether to ask again; `ordersLookMs` when it is left out. */
  readonly lookMs?: number | undefined;
  /** True while the fleet waits for the counters of this robot (reporter.ts). */
  isWatched(): boolean;
  /** Subscribes once more, so that the broker delivers again what it retains. */
  askAgain(): void;
}

export class Orders {
  readonly #options: OrdersOptions;
  readonly #refusedRetry = new RefusedRetry(
    async (topic, bytes) => void (await this.take(topic, bytes)),
  );
  readonly #watch: OrdersWatch;
  readonly #bounds = new OrderBounds();
  #closed = false;

  constructor(options: OrdersOptions) {
    this.#options = options;
    this.#watch = new OrdersWatch({
      now: () => options.now(),
      lookMs: options.lookMs,
      isWatched: () => options.isWatched(),
      onExpired: () => void this.consider(),
      ask: () => options.askAgain(),
    });
  }

  start(): void {
    this.#watch.start();
  }

  close(): void {
    this.#closed = true;
    this.#refusedRetry.close();
    this.#options.progressTopics.close();
    this.#watch.close();
  }

  async tellDamages(): Promise<void> {
    for (const one of this.#options.memory.takeDamages())
      await this.#options.components.refuse(one, { stays: true });
  }

  /** @returns false for a topic that carries no order */
  async take(topic: string, payload: Uint8Array): Promise<boolean> {
    const parsed = parseTopic(topic);
    if (parsed?.kind !== 'updates' && parsed?.kind !== 'progress' && parsed?.kind !== 'trust') {
      return false;
    }
    const waitMs = this.#bounds.waitMs(performance.now());
    if (waitMs > 0) await sleep(waitMs, undefined, { ref: false });
    if (this.#closed) return true;
    const unknown = await this.#options.memory.open();
    if (unknown) {
      this.#lookAgain(unknown, topic, payload);
      await this.#refuse(unknown);
      return true;
    }
    await this.tellDamages();
    if (parsed.kind === 'updates') await this.#onAnnouncement(topic, payload);
    else if (parsed.kind === 'progress') await this.#onProgress(topic, parsed.rollout, payload);
    else await this.#onTrust(topic, parsed.version, payload);
    return true;
  }

  async #onTrust(topic: string, version: number, payload: Uint8Array): Promise<void> {
    this.#refusedRetry.forget(topic);
    const before = this.#options.trust.current;
    try {
      if (!(await this.#options.trustFile.take(version, payload))) return;
    } catch (thrown) {
      const problem = problemOf(thrown, this.#options.log);
      this.#lookAgain(problem, topic, payload);
      return this.#refuse(problem);
    }
    this.#options.log.info({ version }, 'new trust root accepted');
    await this.#options.inbox.followTrust(before);
    this.#options.onTrust();
    this.#options.askAgain(); // documents refused under the old keys may be valid now
  }

  async #onAnnouncement(topic: string, payload: Uint8Array): Promise<void> {
    this.#refusedRetry.forget(topic);
    if (payload.byteLength === 0) return; // cleared: nothing new is offered [P-2.4]
    const seqBefore = this.#options.inbox.announcement?.seq;
    try {
      const { seq, expires_at, rollouts } = await this.#options.inbox.acceptAnnouncement(
        payload,
        this.#options.now(),
      );
      this.#options.progressTopics.follow(rollouts.map(({ id }) => id));
      this.#watch.follow(expires_at);
      // It comes again each time that it is asked for, and at each turn of a twin.
      if (seq !== seqBefore && !this.#options.isTwin())
        this.#options.log.info({ seq }, 'announcement accepted');
    } catch (thrown) {
      const problem = problemOf(thrown, this.#options.log);
      this.#lookAgain(problem, topic, payload);
      return this.#refuse(problem);
    }
    await this.consider();
  }

  async #onProgress(topic: string, rollout: string, payload: Uint8Array): Promise<void> {
    this.#refusedRetry.forget(topic);
    if (payload.byteLength === 0) return this.#heard(rollout);
    try {
      await this.#options.inbox.acceptProgress(payload, this.#options.now());
      this.#heard(rollout);
    } catch (thrown) {
      const problem = problemOf(thrown, this.#options.log);
      this.#lookAgain(problem, topic, payload);
      this.#notHeard(rollout, problem, thrown);
      if (this.#bounds.mayTell(`progress ${problem.code}`, performance.now()))
        this.#options.log.warn({ problem }, 'progress refused');
      return;
    }
    await this.consider();
  }

  #heard(rollout: string): void {
    if (this.#options.unheard.heard(rollout)) this.#options.onUnheard();
  }

  #notHeard(rollout: string, problem: Problem, thrown: unknown): void {
    const refused = { code: problem.code, seq: seqOfRefused(thrown) };
    const isNews = this.#options.unheard.note(rollout, {
      ...{ problem, atMs: this.#options.now() },
      ...refused,
    });
    if (isNews) this.#options.onUnheard();
  }

  /** Shown at once; reported once in a while for each code. */
  async #refuse(problem: Problem): Promise<void> {
    const isTold = this.#bounds.mayTell(problem.code, performance.now());
    await this.#options.components.refuse(problem, { stays: true, isTold });
  }

  /** A fault of the robot, not of the document, may pass: the document is tried again. */
  #lookAgain(problem: Problem, topic: string, payload: Uint8Array): void {
    if (CATALOGUE[problem.code].retry === 'later') this.#refusedRetry.keep(topic, payload);
  }

  /** All of one instant: a progress without its `completeSince` would count from now on. */
  get heard(): HeardFacts {
    return { ...this.#options.inbox.heard, unanswered: this.#options.progressTopics.unanswered };
  }

  /** Passes the current documents to the components. */
  async consider(): Promise<void> {
    if (this.#closed) return;
    try {
      const { heard } = this;
      // A recall holds without an announcement: it undoes an earlier one.
      await this.#options.components.consider(null, heard);
      const announcement = this.#options.inbox.currentAnnouncement(this.#options.now());
      if (announcement) await this.#options.components.consider(announcement, heard);
    } catch (thrown) {
      const problem = problemOf(thrown, this.#options.log);
      const bytes = this.#options.inbox.announcementBytes;
      if (bytes) this.#lookAgain(problem, UPDATES_TOPIC, bytes);
      await this.#options.components.refuse(problem, { stays: false });
    }
  }
}

/**
 * Bounds the work and the flash wear that a carrier can cause with orders. Each order costs
 * signature checks, and each refusal a log line and an event on the flash. A burst as large as an
 * honest one passes at once. A flood waits, which also holds up the link.
 */
export class OrderBounds {
  /** When the orders so far would all have come, had they come evenly. */
  #dueMs: MonoMs = -Infinity;
  /** For each kind of refusal; the least recently reported first. */
  readonly #toldMs = new Map<string, MonoMs>();

  /** Counts one order. @returns how long it has to wait, in milliseconds */
  waitMs(now: MonoMs): number {
    this.#dueMs = Math.max(this.#dueMs, now) + MS_PER_ORDER;
    return Math.max(0, this.#dueMs - now - MS_PER_ORDER * LIMITS.ordersBurstMax);
  }

  /**
   * False while a refusal of this kind was reported a short time ago: it is shown, and not
   * reported.
   */
  mayTell(kind: string, now: MonoMs): boolean {
    const told = this.#toldMs.get(kind);
    if (told !== undefined && now - told < LIMITS.refusalToldAgainMs) return false;
    this.#toldMs.delete(kind);
    this.#toldMs.set(kind, now);
    const [oldest] = this.#toldMs.keys();
    if (this.#toldMs.size > LIMITS.seldomKeysMax && oldest !== undefined)
      this.#toldMs.delete(oldest);
    return true;
  }
}
