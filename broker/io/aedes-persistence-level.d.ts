/** Types of the part of aedes-persistence-level that we build on; it ships none of its own. */

declare module 'aedes-persistence-level/asyncPersistence.js' {
  import type { Readable } from 'node:stream';

  export default class AsyncLevelPersistence {
    /** Anything with get, values, put, del, batch and clear as `level` has them. */
    constructor(database: object);
    storeRetained(packet: object): Promise<void>;
    createRetainedStream(filter: string): Readable;
    createRetainedStreamCombi(filters: readonly string[]): Readable;
    subscriptionsByTopic(topic: string): Promise<{ clientId: string; qos: number }[]>;
    putWill(client: { id: string }, packet: object): Promise<void>;
    outgoingEnqueue(sub: { clientId: string }, packet: object): Promise<void>;
    outgoingClearMessageId(client: { id: string }, packet: object): Promise<unknown>;
    outgoingStream(client: { id: string }): Readable;
    destroy(): Promise<void>;
  }
}
