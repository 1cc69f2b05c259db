/**
 * Sends chunks to the clients that asked for them, on the connections of Aedes but without Aedes:
 * see docs/decisions/0012-chunk-serving.md. Each client has its own queue, of which one chunk is in
 * its socket and one is being read, so a client that reads slowly or not at all delays no other and
 * takes little memory. It never sends a chunk that the client may not receive or no longer asks
 * for.
 */

import type { Client } from 'aedes';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import { chunkTopic } from '../../shared/formats/topics.ts';
import { isGone, whenDrained, writeChunk } from './aedes-client.ts';
import type { LentChunk } from '../chunks/chunk-cache.ts';

export interface ChunkSenderOptions {
  /** Resolves when this client may send next; null when there is nothing to send. */
  lend(client: Client, hash: Sha256Hex): Promise<LentChunk | null>;
  /** Called before a chunk is read, and again before it is written. */
  isAsking(client: Client, hash: Sha256Hex): boolean;
  /** Called right before each chunk is written. */
  mayReceive(client: Client, topic: string): boolean;
  readonly log: Log;
}

/**
 * The chunks that a client waits for, in the order of its requests, with the retain flag to send.
 */
type Row = Map<Sha256Hex, boolean>;

interface Taken {
  readonly hash: Sha256Hex;
  readonly retain: boolean;
  readonly lent: Promise<LentChunk | null>;
}

export class ChunkSender {
  readonly #options: ChunkSenderOptions;
  readonly #seldom: SeldomLog;
  /** Only of clients that are being served. */
  readonly #rows = new WeakMap<Client, Row>();

  constructor(options: ChunkSenderOptions) {
    this.#options = options;
    this.#seldom = new SeldomLog(options.log, LIMITS.readErrorLogMs, () => performance.now());
  }

  /** A chunk that waits already is sent once, in the later place. */
  send(client: Client, hash: Sha256Hex, retain: boolean): void {
    const row = this.#rows.get(client);
    if (!row) {
      const fresh: Row = new Map([[hash, retain]]);
      this.#rows.set(client, fresh);
      inBackground(this.#options.log, 'serve chunks', this.#serve(client, fresh));
    } else if (row.has(hash) || row.size < LIMITS.subscriptionsPerClientMax) {
      row.set(hash, retain || row.get(hash) === true);
    }
  }

  async #serve(client: Client, row: Row): Promise<void> {
    try {
      let taken = this.#take(client, row);
      while (taken) {
        const { hash, retain } = taken;
        const lent = await taken.lent;
        const ahead = this.#take(client, row);
        if (lent && this.#write(client, { hash, retain, lent })) await whenDrained(client);
        taken = ahead ?? this.#take(client, row);
      }
    } finally {
      this.#rows.delete(client);
    }
  }

  /** Starts to read the next chunk that the client still asks for. */
  #take(client: Client, row: Row): Taken | null {
    for (const [hash, retain] of row) {
      row.delete(hash);
      if (!this.#isAsking(client, hash)) continue;
      const lent = this.#options.lend(client, hash).catch((error: unknown) => {
        this.#seldom.warn('read', { error: String(error), hash }, 'chunk could not be read');
        return null;
      });
      return { hash, retain, lent };
    }
    return null;
  }

  /** @returns true when the socket is full */
  #write(
    client: Client,
    { hash, retain, lent }: { hash: Sha256Hex; retain: boolean; lent: LentChunk },
  ): boolean {
    const topic = chunkTopic(hash);
    const { bytes: payload, giveBack } = lent;
    if (!this.#isAsking(client, hash) || !this.#options.mayReceive(client, topic)) {
      giveBack();
      return false;
    }
    return !writeChunk(client, { topic, payload, retain }, giveBack);
  }

  #isAsking(client: Client, hash: Sha256Hex): boolean {
    return !isGone(client) && this.#options.isAsking(client, hash);
  }
}
