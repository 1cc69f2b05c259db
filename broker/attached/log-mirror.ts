/**
 * Guards the transparency log on an external engine (`--log-policy`). Such an engine takes what any
 * publisher writes, so the rules of drover-broker (control/log-keeper.ts) are applied to what it
 * hands out: a head that follows them is kept in --data with its entries, and a log that was
 * cleared, rewritten or signed by others is reported and put back. A larger head that the key of
 * the log signed is never replaced by an older one, also when its entries do not arrive or our disk
 * takes no writes: the next `drover log add` would sign another head of that size.
 */

import { DroverError, nullIfRefused, toProblem } from '../../shared/base/errors.ts';
import type { MonoMs } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { parseManifest } from '../../shared/formats/manifest.ts';
import { LOG_CHECKPOINT_TOPIC, logEntryTopic } from '../../shared/formats/topics.ts';
import { readCheckpoint, type Checkpoint } from '../../shared/tlog/checkpoint.ts';
import { seenBy, type LogPolicy } from '../../shared/tlog/policy.ts';
import type { ControlStore } from '../control/control-store.ts';
import type { EventCounters } from '../control/event-metrics.ts';
import { addsOnlyLines, judgeLogMessage, type LogTopic } from '../control/log-keeper.ts';

export interface LogMirrorOptions {
  readonly policy: LogPolicy;
  readonly control: ControlStore;
  readonly counters: EventCounters;
  readonly log: Log;
  /** Publishes a retained message on the engine. */
  restore(topic: string, payload: Uint8Array): Promise<void>;
  /** Time in ms that never jumps. */
  mono?(): MonoMs;
  /** Default: `logUnprovenBytesMax`. */
  readonly unprovenBytesMax?: number;
}

/** A signed head that the mirror should hold next. */
interface NextHead {
  readonly payload: Uint8Array;
  readonly size: number;
  readonly sinceMs: MonoMs;
  /** Judged and not taken, and no entry of it has changed since. It still stands on the engine. */
  isRefused: boolean;
}

export class LogMirror {
  readonly #options: LogMirrorOptions;
  readonly #turns = new SerialQueue();
  /** Entries of which this connection has brought the bytes that are held here. */
  readonly #confirmed = new Set<string>();
  /** Entries that no head proves yet. They are in memory only, so strangers fill no disk. */
  readonly #unproven = new Map<number, Uint8Array>();
  #unprovenBytes = 0;
  /** The head that this connection brought last. */
  #shown: Uint8Array | null = null;
  /** True when that one says the same as ours, and lines of other keys are all it has more. */
  #isLeft = false;
  /** It outlives a connection: an older head must not take its place when the engine lost it. */
  #next: NextHead | null = null;
  /** The head of the mirror as it was read last: its signatures are verified once. */
  #read: { readonly payload: Uint8Array; readonly head: Checkpoint | null } | null = null;
  /** Put back last; nothing more is put back until the engine hands these out again. */
  #owed: readonly string[] = [];
  #owedSinceMs: MonoMs = Number.NEGATIVE_INFINITY;
  readonly #undone = new UndoLedger();

  constructor(options: LogMirrorOptions) {
    this.#options = options;
  }

  linkUp(): void {
    this.#confirmed.clear();
    [this.#shown, this.#isLeft, this.#owed] = [null, false, []];
  }

  /** Topics that the engine has handed out, and should go on to. */
  expected(): string[] {
    const kept = this.#kept(LOG_CHECKPOINT_TOPIC);
    return kept && isSame(this.#shown, kept) ? [LOG_CHECKPOINT_TOPIC] : [];
  }

  /** The engine does not hand these out any more. */
  lost(topics: readonly string[]): void {
    for (const topic of topics) this.#confirmed.delete(topic);
    if (topics.includes(LOG_CHECKPOINT_TOPIC)) this.#shown = null;
  }

  /** Takes a message of the engine. @throws DroverError of the disk */
  async take(topic: LogTopic, payload: Uint8Array): Promise<void> {
    const bytes = payload.slice();
    await this.#turns.run(async () => {
      if (topic.kind === 'log-entry') this.#takeEntry(topic, bytes);
      else this.#takeHead(bytes);
      await this.#judge();
      if (this.#owed.length === 0 || this.#isOwed) return;
      this.#owed = []; // all of it is back
      this.#putBack();
    });
  }

  /** Puts back what is missing; called every `restoreMsMin` once all retained messages arrived. */
  tend(): void {
    const work = this.#turns.run(async () => {
      try {
        await this.#judge();
      } finally {
        this.#putBack(); // also while our disk takes no writes: it never puts back an older head
      }
    });
    inBackground(this.#options.log, 'put the transparency log back', work);
  }

  #takeHead(payload: Uint8Array): void {
    [this.#shown, this.#isLeft] = [payload, false];
    const kept = this.#head && this.#kept(LOG_CHECKPOINT_TOPIC);
    if (isSame(kept, payload) || (this.#next && isSame(this.#next.payload, payload))) return;
    const fault = this.#faultOf(payload);
    const head = this.#proven(payload);
    if (head && (fault === null || this.#extendsOurs(head))) {
      const { size } = head;
      const before = this.#next;
      // A refused one never blocks a smaller one that follows the rules.
      if (before === null || size >= before.size || (fault === null && before.isRefused)) {
        this.#next = { payload, size, sinceMs: this.#now, isRefused: false };
        return;
      }
    }
    this.#isLeft = kept !== null && addsOnlyLines(payload, kept, this.#options.policy);
    this.#refuse(LOG_CHECKPOINT_TOPIC, fault ?? older());
  }

  /** Null for what is no head, or one that no log of the policy has signed. */
  #proven(payload: Uint8Array): Checkpoint | null {
    const head = nullIfRefused(() => readCheckpoint(payload));
    return head && seenBy(head, this.#options.policy).fault === null ? head : null;
  }

  #extendsOurs({ origin, size }: Checkpoint): boolean {
    const ours = this.#head;
    return ours === null || (origin === ours.origin && size > ours.size);
  }

  get #now(): MonoMs {
    return (this.#options.mono ?? (() => performance.now()))();
  }

  #kept(topic: string): Uint8Array | null {
    return this.#options.control.get(topic)?.payload ?? null;
  }

  #entry(index: number): Uint8Array | null {
    return this.#unproven.get(index) ?? this.#kept(logEntryTopic(index));
  }

  /** Null without a head, and for one that the policy of now does not take. */
  get #head(): Checkpoint | null {
    const payload = this.#kept(LOG_CHECKPOINT_TOPIC);
    if (payload === null) return null;
    if (this.#read?.payload !== payload) this.#read = { payload, head: this.#proven(payload) };
    return this.#read.head;
  }

  #takeEntry({ index }: Extract<LogTopic, { kind: 'log-entry' }>, payload: Uint8Array): void {
    const name = logEntryTopic(index);
    if (isSame(this.#entry(index), payload)) return void this.#confirmed.add(name);
    this.#confirmed.delete(name);
    const size = this.#head?.size ?? 0;
    if (index < size && this.#kept(name) !== null) {
      const why = payload.byteLength === 0 ? 'was cleared' : 'has other bytes';
      return this.#refuse(name, appendOnly(`entry ${index} ${why} on the engine`));
    }
    // Entries come in any order, and no head holds this one yet: the head proves it.
    const isEntry = payload.byteLength === 0 || nullIfRefused(() => parseManifest(payload));
    if (index >= LIMITS.logEntriesMax || isEntry === null) return;
    this.#hold(index, payload);
    if (this.#next && index < this.#next.size) this.#next.isRefused = false;
  }

  /** Holds an entry in memory; an empty one removes it. */
  #hold(index: number, payload: Uint8Array): void {
    this.#unprovenBytes += payload.byteLength - (this.#unproven.get(index)?.byteLength ?? 0);
    this.#unproven.delete(index);
    if (payload.byteLength === 0) return;
    this.#unproven.set(index, payload);
    this.#confirmed.add(logEntryTopic(index));
    const needed = Math.max(this.#head?.size ?? 0, this.#next?.size ?? 0);
    while (this.#unprovenBytes > (this.#options.unprovenBytesMax ?? LIMITS.logUnprovenBytesMax)) {
      // The next head needs the lowest first, and a signed one all of its own.
      const last = [...this.#unproven.keys()].reduce((most, one) => Math.max(most, one), -1);
      if (last < needed) return;
      this.#hold(last, NOTHING);
    }
  }

  async #judge(): Promise<void> {
    const next = this.#next;
    if (next === null || next.isRefused || this.#lacks(next)) return;
    const fault = this.#faultOf(next.payload);
    if (fault === null) return await this.#keep(next);
    next.isRefused = true;
    this.#refuse(LOG_CHECKPOINT_TOPIC, fault);
  }

  #faultOf(payload: Uint8Array): DroverError | null {
    try {
      judgeLogMessage({ kind: 'log-checkpoint' }, payload, {
        checkpoint: this.#head && this.#kept(LOG_CHECKPOINT_TOPIC),
        policy: this.#options.policy,
        entry: (index) => this.#entry(index),
      });
      return null;
    } catch (thrown) {
      if (thrown instanceof DroverError) return thrown;
      throw thrown;
    }
  }

  /** It stays the next one until all of it is on the disk. @throws DroverError of the disk */
  async #keep(next: NextHead): Promise<void> {
    const { control } = this.#options;
    const proven = [...this.#unproven].filter(([index]) => index < next.size);
    for (const [index, payload] of proven) {
      // The fsync of the head behind them is theirs as well.
      await control.put({ topic: logEntryTopic(index), payload, qos: 1 }, false);
    }
    await control.put({ topic: LOG_CHECKPOINT_TOPIC, payload: next.payload, qos: 1 });
    for (const [index] of proven) this.#hold(index, NOTHING);
    this.#next = null;
  }

  /** True while an entry of a head may still arrive. */
  #lacks({ size, sinceMs }: NextHead): boolean {
    if (this.#now - sinceMs >= LIMITS.retainedLookMs) return false;
    for (let index = Math.min(size, LIMITS.logEntriesMax) - 1; index >= 0; index -= 1) {
      if (this.#entry(index) === null) return true;
    }
    return false;
  }

  #refuse(topic: string, refusal: DroverError): void {
    const problem = toProblem(refusal);
    this.#undone.changed(topic);
    this.#options.counters.countRefusal(problem.code);
    this.#options.log.warn({ topic, problem }, 'rejected a part of the log on the engine');
  }

  /** The head that should stand on the engine; null while a larger one of the log is refused. */
  get #wanted(): Uint8Array | null {
    if (this.#next) return this.#next.isRefused ? null : this.#next.payload;
    return this.#kept(LOG_CHECKPOINT_TOPIC);
  }

  #isMissing(topic: string): boolean {
    if (topic !== LOG_CHECKPOINT_TOPIC) return !this.#confirmed.has(topic);
    const wanted = this.#wanted;
    return wanted !== null && !this.#isLeft && !isSame(this.#shown, wanted);
  }

  get #isOwed(): boolean {
    return this.#owed.some((topic) => this.#isMissing(topic));
  }

  /**
   * Publishes some of what the engine lacks, the head last: a reader of it finds the entries. It
   * waits for no answer, which would come behind the message that is being taken.
   */
  #putBack(): void {
    const head = this.#head;
    if (head === null) return;
    const { log } = this.#options;
    const now = this.#now;
    if (this.#isOwed) {
      if (now - this.#owedSinceMs < LIMITS.retainedLookMs) return;
      const problem = toProblem(notBack(this.#owed[0]));
      log.warn({ problem }, 'what was put back on the engine did not arrive there');
    }
    const entries = Array.from({ length: head.size }, (_, index) => logEntryTopic(index));
    const missing = entries.filter((topic) => this.#isMissing(topic));
    if (missing.length === 0 && this.#isMissing(LOG_CHECKPOINT_TOPIC)) {
      missing.push(LOG_CHECKPOINT_TOPIC);
    }
    const due = missing.filter((topic) => !this.#undone.rests(topic, now));
    [this.#owed, this.#owedSinceMs] = [due.slice(0, LIMITS.lookTopicsMax), now];
    if (this.#owed.length === 0) return;
    log.warn({ topics: this.#owed.slice(0, 8) }, 'put a part of the log back on the engine');
    for (const topic of this.#owed) this.#restore(topic, now);
  }

  #restore(topic: string, now: MonoMs): void {
    const { log, restore } = this.#options;
    const payload = topic === LOG_CHECKPOINT_TOPIC ? this.#wanted : this.#kept(topic);
    if (payload === null) return;
    if (this.#undone.undo(topic, now)) {
      log.warn({ topic, problem: toProblem(contested(topic)) }, 'puts this back less often now');
    }
    restore(topic, payload).catch((error: unknown) => {
      // The next connection shows again what the engine holds.
      log.warn({ topic, problem: toProblem(error) }, 'could not put a message back');
    });
  }
}

/**
 * Counts how often one topic was put back after others had changed it. Two brokers with different
 * policies would undo each other every few seconds for ever.
 */
class UndoLedger {
  readonly #changed = new Set<string>();
  readonly #undone = new Map<string, { readonly count: number; readonly atMs: MonoMs }>();

  changed(topic: string): void {
    this.#changed.add(topic);
  }

  /** True when the topic was undone so often that the next time has to wait. */
  rests(topic: string, now: MonoMs): boolean {
    const last = this.#undone.get(topic);
    if (!last || !this.#changed.has(topic) || last.count < LIMITS.logUndosMax) return false;
    return now - last.atMs < LIMITS.retainedLookMs;
  }

  /** @returns true when it rests from now on */
  undo(topic: string, now: MonoMs): boolean {
    if (!this.#changed.delete(topic)) return false;
    const last = this.#undone.get(topic);
    const isOver = !last || now - last.atMs >= 2 * LIMITS.retainedLookMs;
    const count = isOver ? 1 : last.count + 1;
    this.#undone.set(topic, { count, atMs: now });
    return count >= LIMITS.logUndosMax;
  }
}

const NOTHING = new Uint8Array();

const isSame = (one: Uint8Array | null, other: Uint8Array): boolean =>
  one !== null && bytesEqual(one, other);

const appendOnly = (why: string): DroverError =>
  new DroverError('LOG_APPEND_ONLY', `keep the transparency log: ${why}`);

const older = (): DroverError => appendOnly('its log has signed a larger checkpoint');

const contested = (topic: string): DroverError =>
  appendOnly(
    `${topic} was changed again after it was put back: another broker may have another --log-policy`,
  );

const notBack = (topic = LOG_CHECKPOINT_TOPIC): DroverError => {
  const why = 'published and not heard again, so this user may not write or not read it';
  return new DroverError('ENGINE_TOPIC_DENIED', `put ${topic} back on the engine: ${why}`);
};
