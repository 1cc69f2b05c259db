/**
 * A relay: the broker of a site with another broker above it (`--upstream`). Announcements of the
 * upstream go to the robots of the site, and their reports go up. This file puts the parts
 * together: downstream.ts decides what is forwarded, chunks.ts fetches the chunks, upstream.ts
 * carries the reports.
 * Nothing here waits for the upstream: while the link is down, robots are served with what the site
 * has.
 */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { toProblem } from '../../shared/base/errors.ts';
import { RELAY_CLIENT_PREFIX } from '../../shared/formats/client-ids.ts';
import { proofOf } from '../../shared/formats/envelope.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log, WritableChunkStore } from '../../shared/base/ports.ts';
import {
  parseTopic,
  PROGRESS_FILTER,
  TRUST_FILTER,
  trustTopic,
  UPDATES_TOPIC,
  type Topic,
} from '../../shared/formats/topics.ts';
import { JitteredTimer } from '../../shared/io/wait-up.ts';
import { RefusedProgress, seqOfRefused } from '../../shared/rules/refused-progress.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { type ControlStore, readAnnouncement } from '../control/control-store.ts';
import { DurableLevel, type DatabaseSnapshot } from '../control/durable-level.ts';
import type { Fleet } from '../control/fleet.ts';
import { LaterTrusts } from '../control/trust.ts';
import type { ReportSink } from '../control/intake.ts';
import type { EventCounters } from '../control/event-metrics.ts';
import { SiteChunks } from './chunks.ts';
import { planDown, type DownPlan } from './downstream.ts';
import { UpstreamLink, type RelayWord, type UpstreamAddress } from './link.ts';
import { UpstreamQueue } from './outbound-queue.ts';
import type { UpstreamStatus } from './relay-view.ts';
import { RelayBook } from './store.ts';
import { Upward } from './upstream.ts';

const NOTHING = new Uint8Array();

export interface UpstreamOptions {
  readonly address: UpstreamAddress;
  /** Name of this site at the upstream; null takes the name of its first start. */
  readonly name: string | null;
  readonly bytesPerSecondMax: number | null;
  /** Orders are asked for again about this often; `ordersLookMs` when it is left out. */
  readonly ordersLookMs?: number;
}

export interface RelayOptions extends UpstreamOptions {
  readonly dataFolder: string;
  readonly trust: TrustRoot;
  readonly control: ControlStore;
  readonly chunks: WritableChunkStore;
  readonly fleet: Fleet;
  readonly counters: EventCounters;
  readonly log: Log;
}

/** The part of the site's engine that a relay uses. */
export interface SiteEngine {
  /** Verified, stored and sent to subscribers when it resolves. */
  publishOwn(topic: string, payload: Uint8Array): Promise<void>;
  deliverToWaiting(hash: Sha256Hex): void;
}

export class Relay implements ReportSink {
  readonly #options: RelayOptions;
  readonly #database: DurableLevel;
  readonly #book: RelayBook;
  readonly #upward: Upward;
  readonly #chunks: SiteChunks;
  readonly #laterTrusts = new LaterTrusts();
  readonly #asking = new JitteredTimer();
  #link: UpstreamLink | null = null;
  #engine: SiteEngine | null = null;
  #bytesPulled = 0;
  #closing: Promise<void> | null = null;

  readonly #refused = new RefusedProgress();

  private constructor(
    options: RelayOptions,
    kept: { database: DurableLevel; book: RelayBook; queue: UpstreamQueue },
  ) {
    this.#options = options;
    this.#database = kept.database;
    this.#book = kept.book;
    const { name } = kept.book;
    this.#upward = new Upward({
      ...options,
      name,
      queue: kept.queue,
      send: async (...message) => await this.#up.control.send(...message),
      word: () => this.#word,
      appear: async (word) => await this.#up.appear(word),
      onRefused: (error) => this.#up.note(error),
    });
    this.#chunks = new SiteChunks({
      ...options,
      name,
      wire: () => this.#up.chunks,
      now: () => performance.now(),
      rollouts: () => readAnnouncement(options.control)?.rollouts ?? [],
      onStored: (hash, bytes) => this.#onStored(hash, bytes),
    });
  }

  /**
   * Reads the messages that were queued before this start.
   * @throws DroverError DATA_LOCKED, FILE_UNREADABLE
   */
  static async open(options: RelayOptions): Promise<Relay> {
    const { dataFolder, log } = options;
    const database = await DurableLevel.open(join(dataFolder, 'upstream'), 'utf8');
    const makeName = (): string => `${RELAY_CLIENT_PREFIX}${randomBytes(6).toString('hex')}`;
    const book = await RelayBook.open(database, options.name, makeName, rolloutKeys(options));
    const queue = await UpstreamQueue.open(database, log);
    return new Relay(options, { database, book, queue });
  }

  get status(): UpstreamStatus {
    const { address } = this.#options;
    const link = this.#link;
    return {
      name: this.#book.name,
      url: address.url,
      isUp: link?.isUp ?? false,
      areChunksUp: link?.areChunksUp ?? false,
      sinceMs: link?.sinceMs ?? Date.now(),
      problem: link?.problem ?? this.#chunks.problem,
      backlog: this.#upward.backlog,
      bundles: this.#chunks.views,
      missing: this.#chunks.missing,
      bytesPulled: this.#bytesPulled,
    };
  }

  /** Called when the engine runs: connects to the upstream, and retries until it answers. */
  run(engine: SiteEngine): void {
    const { address, log, ordersLookMs = LIMITS.ordersLookMs } = this.#options;
    this.#engine = engine;
    this.#link = new UpstreamLink(address, {
      name: this.#book.name,
      log,
      onControl: (topic, payload) => this.#hear(topic, payload),
      onChunk: (payload) => this.#chunks.deliver(payload),
      onUp: () => this.#onUp(),
      onDown: () => this.#upward.down(),
      onChunksUp: () => this.#chunks.up(),
      onChunksDown: () => this.#chunks.down(),
    });
    // An upstream that forgot to whom it delivers must not keep a recall from a site for ever.
    this.#asking.start(ordersLookMs, () => {
      if (this.#up.isUp) this.#listen();
    });
    this.#chunks.announced();
  }

  async report(topic: Topic, payload: Uint8Array): Promise<void> {
    if (topic.kind === 'robot') await this.#upward.report(topic, payload);
    if (topic.kind === 'relay') this.#upward.lookAtAll();
  }

  announced(): void {
    this.#chunks.announced();
  }

  /** A robot subscribed to a chunk. */
  asked(hash: Sha256Hex): void {
    this.#chunks.asked(hash);
  }

  wanted(hashes: readonly Sha256Hex[]): void {
    this.#chunks.wanted(hashes);
  }

  /** A chunk was published on this site. */
  stored(hash: Sha256Hex): void {
    this.#chunks.stored(hash);
  }

  /** Rejects while the disk takes no writes. */
  async assertWritable(): Promise<void> {
    await this.#database.assertWritable();
  }

  /** The content of the relay's database now, for a backup. */
  snapshot(): DatabaseSnapshot {
    return this.#database.snapshot();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    await this.#closing;
  }

  async #closeAll(): Promise<void> {
    this.#asking.close();
    this.#upward.close();
    await this.#link?.close();
    await this.#chunks.close();
    await this.#database.close();
  }

  get #up(): UpstreamLink {
    if (this.#link) return this.#link;
    throw new TypeError('Relay: it does not run yet');
  }

  /**
   * Our presence message. It includes what relays below us report: their robots are ours upstream.
   */
  get #word(): RelayWord {
    const below = this.#options.fleet.relays().find(({ problem }) => problem !== null);
    const own = this.#link?.chunksProblem ?? this.#chunks.problem;
    const theirs = below?.problem && {
      ...below.problem,
      message: `relay ${below.relay}: ${below.problem.message}`,
    };
    return { refused: this.#refused.fields, problem: own ?? theirs ?? null };
  }

  #onUp(): void {
    const { address, log } = this.#options;
    log.info({ upstream: address.url, name: this.#book.name }, 'connected to the upstream');
    this.#listen();
    this.#upward.up();
  }

  /** Each subscription brings the retained messages, also those that an older root refused. */
  #listen(): void {
    const filters = [TRUST_FILTER, UPDATES_TOPIC, PROGRESS_FILTER];
    this.#up.control.subscribe(filters, 1).catch((error: unknown) => {
      if (toProblem(error).code !== 'BROKER_UNREACHABLE') this.#up.note(error);
    });
  }

  #onStored(hash: Sha256Hex, bytes: number): void {
    this.#bytesPulled += bytes;
    this.#options.counters.countChunkReceived(bytes);
    this.#engine?.deliverToWaiting(hash);
  }

  /** Never rejects: a message that is not taken here is acknowledged all the same. */
  async #hear(text: string, payload: Uint8Array): Promise<void> {
    const { counters, log } = this.#options;
    const topic = parseTopic(text);
    if (!topic) return;
    try {
      const plan = this.#plan(text, topic, payload);
      await this.#carryOut(plan, { text, topic, payload });
      if (topic.kind === 'progress') this.#refused.heard(topic.rollout);
    } catch (error) {
      const problem = toProblem(error);
      if (topic.kind === 'progress') this.#noteRefused(topic.rollout, problem.code, error);
      counters.countRefusal(problem.code);
      log.warn({ topic: text, problem }, 'rejected a message from upstream');
    }
  }

  /** Reports to the upstream that robots of this site do not get this progress. */
  #noteRefused(rollout: string, code: ErrorCode, thrown: unknown): void {
    this.#refused.note(rollout, { code, seq: seqOfRefused(thrown) });
  }

  #plan(text: string, topic: Topic, payload: Uint8Array): DownPlan {
    const { control, trust } = this.#options;
    const rollout = topic.kind === 'progress' ? topic.rollout : null;
    const announced = readAnnouncement(control)?.rollouts ?? [];
    return planDown({
      ...{ topic, payload, trust, now: Date.now() },
      stored: control.get(text)?.payload ?? null,
      floor: rollout === null ? 0 : this.#book.floorOf(rollout, rolloutKeys(this.#options)),
      isAnnounced: announced.some(({ id }) => id === rollout),
    });
  }

  async #carryOut(
    plan: DownPlan,
    { text, topic, payload }: { text: string; topic: Topic; payload: Uint8Array },
  ): Promise<void> {
    const engine = this.#engine as SiteEngine;
    switch (plan.kind) {
      case 'hand-on':
        if (plan.floor) {
          const { signers } = proofOf(payload, this.#options.trust.roles.rollout);
          await this.#book.raise(plan.floor.rollout, plan.floor.seq, signers);
        }
        return await engine.publishOwn(text, payload.slice());
      case 'hand-on-trust':
        await engine.publishOwn(text, payload.slice());
        if (plan.version === this.#options.trust.version) this.#listen();
        return await this.#retryTrust(plan.version + 1);
      case 'clear':
        return await engine.publishOwn(text, NOTHING);
      case 'later':
        if (topic.kind === 'trust') this.#laterTrusts.keep(topic.version, payload.slice());
        return;
      case 'known':
      case 'ignore':
        return;
    }
  }

  async #retryTrust(version: number): Promise<void> {
    const payload = this.#laterTrusts.take(version);
    if (payload) await this.#hear(trustTopic(version), payload);
  }
}

const rolloutKeys = ({ trust }: RelayOptions) => trust.roles.rollout.keys;
