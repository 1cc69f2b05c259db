/** Types of the part of aedes-persistence-level that we build on; it ships none of its own. */

declare module 'aedes-persistence-level/asyncPersistence.js' {
  import type { Readable } from 'node:stream';

  export default class AsyncLevelPersistence {
    /** Anything with get, values, put, del, batch and clear as `level` has them. */
    constructor(database: object);
    storeRetained(packet: object): Promise<void>;
    createRetainedStream(filter: string): Readable;
    createRetainedStreamCombi(filters: readonly string[]): Readable;
    setup(broker: object): Promise<void>;
    subscriptionsByClient(client: { id: string }): Promise<{ topic: string; qos: number }[]>;
    subscriptionsByTopic(
      topic: string,
    ): Promise<{ clientId: string; qos: number; topic: string }[]>;
    addSubscriptions(
      client: { id: string },
      subscriptions: readonly { topic: string; qos: number }[],
    ): Promise<void>;
    cleanSubscriptions(client: { id: string }): Promise<void>;
    cleanIncoming(client: { id: string }): Promise<void>;
    removeSubscriptions(client: { id: string }, topics: readonly string[]): Promise<void>;
    outgoingEnqueueCombi(
      subscriptions: readonly { clientId: string }[],
      packet: object,
    ): Promise<unknown>;
    putWill(client: { id: string }, packet: object): Promise<void>;
    delWill(client: { id: string }): Promise<unknown>;
    outgoingEnqueue(sub: { clientId: string }, packet: object): Promise<void>;
    outgoingUpdate(client: { id: string }, packet: object): Promise<void>;
    outgoingClearMessageId(client: { id: string }, packet: object): Promise<unknown>;
    outgoingStream(client: { id: string }): Readable;
    destroy(): Promise<void>;
  }
}
