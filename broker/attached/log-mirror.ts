/**
 * Guards the transparency log on an external engine (`--log-policy`). Such an engine takes what any
 * publisher writes, so the rules of drover-broker (control/log-keeper.ts) are applied to what it
 * hands out: a head that follows them is kept in --data with its entries, and a log that was
 * cleared, rewritten or signed by others is reported and put back. A head whose entries have not
 * all arrived waits: with an older one in its place the log would lose its newest entries.
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
import { judgeLogMessage, type LogTopic } from '../control/log-keeper.ts';

export interface LogMirrorOptions {
  readonly policy: LogPolicy;
  readonly control: ControlStore;
  readonly counters: EventCounters;
  readonly log: Log;
  /** Publishes a retained message on the engine. */
  restore(topic: string, payload: Uint8Array): Promise<void>;
  /** Time in ms that never jumps. */
  mono?(): MonoMs;
}

interface WaitingHead {
  readonly payload: Uint8Array;
  /** Entries that it needs; 0 for one that no log has signed, which is refused at once. */
  readonly size: number;
  readonly sinceMs: MonoMs;
}

export class LogMirror {
  readonly #options: LogMirrorOptions;
  readonly #turns = new SerialQueue();
  /** Topics on which this connection has brought what the mirror holds. */
  readonly #confirmed = new Set<string>();
  /** The newest head of the engine while it waits for its entries. */
  #waiting: WaitingHead | null = null;
  /** The head of the mirror as it was read last: its signatures are verified once. */
  #read: { readonly payload: Uint8Array; readonly head: Checkpoint | null } | null = null;
  /** Put back last; nothing more is put back until the engine hands these out again. */
  #owed: readonly string[] = [];
  #owedSinceMs: MonoMs = Number.NEGATIVE_INFINITY;

  constructor(options: LogMirrorOptions) {
    this.#options = options;
  }

  linkUp(): void {
    this.#confirmed.clear();
    [this.#waiting, this.#owed] = [null, []];
  }

  /** Topics that the engine has handed out, and should go on to. */
  expected(): string[] {
    return this.#confirmed.has(LOG_CHECKPOINT_TOPIC) ? [LOG_CHECKPOINT_TOPIC] : [];
  }

  /** The engine does not hand these out any more. */
  lost(topics: readonly string[]): void {
    for (const topic of topics) this.#confirmed.delete(topic);
  }

  /** Takes a message of the engine. @throws DroverError of the disk */
  async take(topic: LogTopic, payload: Uint8Array): Promise<void> {
    const bytes = payload.slice();
    await this.#turns.run(async () => {
      if (topic.kind === 'log-entry') await this.#takeEntry(topic, bytes);
      else this.#noteHead(bytes);
      await this.#judge();
      if (this.#owed.length === 0 || this.#isOwed) return;
      this.#owed = []; // all of it is back
      this.#putBack();
    });
  }

  /** Puts back what is missing; called every `restoreMsMin` once all retained messages arrived. */
  tend(): void {
    const work = this.#turns.run(async () => {
      await this.#judge();
      this.#putBack();
    });
    inBackground(this.#options.log, 'put the transparency log back', work);
  }

  #noteHead(payload: Uint8Array): void {
    const isKept = this.#confirms(LOG_CHECKPOINT_TOPIC, payload);
    const size = isKept ? 0 : (this.#proven(payload)?.size ?? 0);
    this.#waiting = isKept ? null : { payload, size, sinceMs: this.#now };
  }

  /** Null for what is no head, or one that no log of the policy has signed. */
  #proven(payload: Uint8Array): Checkpoint | null {
    const head = nullIfRefused(() => readCheckpoint(payload));
    return head && seenBy(head, this.#options.policy).fault === null ? head : null;
  }

  get #now(): MonoMs {
    return (this.#options.mono ?? (() => performance.now()))();
  }

  #kept(topic: string): Uint8Array | null {
    return this.#options.control.get(topic)?.payload ?? null;
  }

  /** Null without a head, and for one that the policy of now does not take. */
  get #head(): Checkpoint | null {
    const payload = this.#kept(LOG_CHECKPOINT_TOPIC);
    if (payload === null) return null;
    if (this.#read?.payload !== payload) this.#read = { payload, head: this.#proven(payload) };
    return this.#read.head;
  }

  /** Notes whether the engine has what the mirror has. */
  #confirms(topic: string, payload: Uint8Array): boolean {
    const kept = this.#kept(topic);
    const isSame = kept !== null && bytesEqual(kept, payload);
    if (isSame) this.#confirmed.add(topic);
    else this.#confirmed.delete(topic);
    return isSame;
  }

  async #takeEntry(topic: Extract<LogTopic, { kind: 'log-entry' }>, payload: Uint8Array) {
    const { index } = topic;
    const name = logEntryTopic(index);
    if (this.#confirms(name, payload)) return;
    const size = this.#head?.size ?? 0;
    if (index < size && this.#kept(name) !== null) {
      const why = payload.byteLength === 0 ? 'was cleared' : 'has other bytes';
      const message = `keep the transparency log: entry ${index} ${why} on the engine`;
      return this.#refuse(name, new DroverError('LOG_APPEND_ONLY', message));
    }
    // Entries come in any order, and no head holds this one yet: the head proves it.
    const isEntry = payload.byteLength === 0 || nullIfRefused(() => parseManifest(payload));
    if (index >= LIMITS.logEntriesMax || isEntry === null) return;
    await this.#store(name, payload);
  }

  async #store(topic: string, payload: Uint8Array): Promise<void> {
    await this.#options.control.put({ topic, payload, qos: 1 });
    if (payload.byteLength > 0) this.#confirmed.add(topic);
  }

  async #judge(): Promise<void> {
    const next = this.#waiting;
    if (next === null || this.#lacks(next)) return;
    this.#waiting = null;
    const { payload } = next;
    const before = this.#head && this.#kept(LOG_CHECKPOINT_TOPIC);
    try {
      judgeLogMessage({ kind: 'log-checkpoint' }, payload, {
        checkpoint: before,
        policy: this.#options.policy,
        entry: (index) => this.#kept(logEntryTopic(index)),
      });
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      return this.#refuse(LOG_CHECKPOINT_TOPIC, thrown);
    }
    await this.#store(LOG_CHECKPOINT_TOPIC, payload);
  }

  /** True while an entry of a head may still arrive. */
  #lacks({ size, sinceMs }: WaitingHead): boolean {
    if (this.#now - sinceMs >= LIMITS.retainedLookMs) return false;
    for (let index = Math.min(size, LIMITS.logEntriesMax) - 1; index >= 0; index -= 1) {
      if (this.#kept(logEntryTopic(index)) === null) return true;
    }
    return false;
  }

  #refuse(topic: string, refusal: DroverError): void {
    const problem = toProblem(refusal);
    this.#options.counters.countRefusal(problem.code);
    this.#options.log.warn({ topic, problem }, 'rejected a part of the log on the engine');
  }

  get #isOwed(): boolean {
    return this.#owed.some((topic) => !this.#confirmed.has(topic));
  }

  /**
   * Publishes some of what the engine lacks, the head last: a reader of it finds the entries. It
   * waits for no answer, which would come behind the message that is being taken.
   */
  #putBack(): void {
    const head = this.#head;
    if (head === null) return;
    const { log, restore } = this.#options;
    const now = this.#now;
    if (this.#isOwed && now - this.#owedSinceMs < LIMITS.retainedLookMs) return;
    const entries = Array.from({ length: head.size }, (_, index) => logEntryTopic(index));
    const missing = entries.filter((topic) => !this.#confirmed.has(topic));
    const isDue = missing.length === 0 && this.#waiting === null;
    if (isDue && !this.#confirmed.has(LOG_CHECKPOINT_TOPIC)) missing.push(LOG_CHECKPOINT_TOPIC);
    [this.#owed, this.#owedSinceMs] = [missing.slice(0, LIMITS.lookTopicsMax), now];
    if (this.#owed.length === 0) return;
    log.warn({ topics: this.#owed.slice(0, 8) }, 'put a part of the log back on the engine');
    for (const topic of this.#owed) {
      const kept = this.#kept(topic);
      if (kept === null) continue;
      restore(topic, kept).catch((error: unknown) => {
        // The next connection shows again what the engine holds.
        log.warn({ topic, problem: toProblem(error) }, 'could not put a message back');
      });
    }
  }
}
