/**
 * What Aedes remembers, as Aedes asks for it. Retained messages come from the two stores of ours
 * (control messages, and chunks by exact address); sessions, queues and wills are kept by
 * aedes-persistence-level. See docs/decisions/0002-control-persistence.md.
 */

import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js';
import { Readable } from 'node:stream';
import { LIMITS } from '../../shared/limits.ts';
import type { ChunkStore, Log } from '../../shared/ports.ts';
import { chunkOfFilter, parseTopic } from '../../shared/topics.ts';
import type { ControlStore } from './control-store.ts';
import type { SessionsDatabase } from './sessions.ts';

export interface StoredPacket {
  cmd: 'publish';
  topic: string;
  payload: Uint8Array;
  qos: 0 | 1 | 2;
  retain: boolean;
}

interface ClientLike {
  readonly id: string;
  readonly clean?: boolean;
}

type Deliverable = { topic: string; payload: Uint8Array; qos: 0 | 1 | 2; retain: boolean };

export interface PersistenceOptions {
  readonly sessions: SessionsDatabase;
  readonly control: ControlStore;
  readonly chunks: ChunkStore;
  readonly log: Log;
  onChunkServed(bytes: number): void;
}

export class DroverPersistence extends AsyncLevelPersistence {
  readonly #control: ControlStore;
  readonly #chunks: ChunkStore;
  readonly #log: Log;
  readonly #onChunkServed: (bytes: number) => void;
  readonly #queued = new Map<string, number>();

  constructor(options: PersistenceOptions) {
    super(options.sessions);
    this.#control = options.control;
    this.#chunks = options.chunks;
    this.#log = options.log;
    this.#onChunkServed = options.onChunkServed;
  }

  /** Ours were written before PUBACK, in ingest; Aedes' own ($SYS) are not worth keeping. */
  override async storeRetained(): Promise<void> {}

  override createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter]);
  }

  /** One message at a time, and never an error: an error here would end the process. */
  override createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retained(filters), { objectMode: true, highWaterMark: 1 });
  }

  async *#retained(filters: readonly string[]): AsyncGenerator<StoredPacket> {
    for (const filter of filters) {
      const hash = chunkOfFilter(filter);
      if (hash === null) {
        for (const { topic, payload, qos } of this.#control.match(filter)) {
          yield { cmd: 'publish', topic, payload: Buffer.from(payload), qos, retain: true };
        }
        continue;
      }
      try {
        const payload = await this.#chunks.get(hash);
        if (payload === null) continue;
        this.#onChunkServed(payload.byteLength);
        yield { cmd: 'publish', topic: filter, payload, qos: 1, retain: true };
      } catch (error) {
        this.#log.error({ error: String(error), hash }, 'chunk could not be read');
      }
    }
  }

  /**
   * Stored for the case that this process is killed; while it lives Aedes has the will in memory. A
   * full disk must not keep robots, which all have one, from the chunks that they came for.
   */
  override async putWill(client: ClientLike, packet: object): Promise<void> {
    try {
      await super.putWill(client, packet);
    } catch (error) {
      this.#log.warn({ client: client.id, error: String(error) }, 'will could not be stored');
    }
  }

  /** A clean session has no queue: its PUBACKs, one for each chunk, must not ask the database. */
  override async outgoingClearMessageId(client: ClientLike, packet: object): Promise<unknown> {
    if (client.clean === true) return undefined;
    const cleared: unknown = await super.outgoingClearMessageId(client, packet);
    if (cleared) this.#count(client.id, -1);
    return cleared;
  }

  /** A session that never returns must not fill the disk: beyond the bound the newest are dropped. */
  override async outgoingEnqueue(sub: { clientId: string }, packet: Deliverable): Promise<void> {
    if (parseTopic(packet.topic)?.kind === 'chunk') return; // chunks are pulled, never queued
    const queued = this.#queued.get(sub.clientId) ?? (await this.#countQueue(sub.clientId));
    if (queued >= LIMITS.queuedPerSessionMax) {
      this.#log.warn({ client: sub.clientId }, 'session queue is full: message dropped');
      return;
    }
    await super.outgoingEnqueue(sub, packet);
    this.#queued.set(sub.clientId, queued + 1);
  }

  async #countQueue(clientId: string): Promise<number> {
    let queued = 0;
    for await (const _ of this.outgoingStream({ id: clientId })) queued += 1;
    return queued;
  }

  #count(clientId: string, change: number): void {
    const queued = this.#queued.get(clientId);
    if (queued !== undefined) this.#queued.set(clientId, Math.max(0, queued + change));
  }
}
