/**
 * The chunk side of the robot's link. The hash of its bytes identifies a chunk, never the topic
 * that it came on: a retained chunk, a repeated one and a live one are handled alike, and a carrier
 * that swaps payloads achieves nothing.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId, Sha256Hex } from '../../shared/base/ids.ts';
import type { Log, Wire } from '../../shared/base/ports.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { encodeMessage } from '../../shared/formats/messages.ts';
import { chunkTopic, robotTopic } from '../../shared/formats/topics.ts';
import { MemoryFloor } from '../../shared/io/memory-floor.ts';
import { subscribeGently } from '../../shared/io/wait-up.ts';
import type { PullLink, PullListener } from '../update/download.ts';

export class ChunkLink implements PullLink {
  readonly #robot: RobotId;
  readonly #log: Log;
  readonly #listeners = new Set<PullListener>();
  /** Null while the agent starts: an interrupted update continues before there is a link. */
  readonly #wire: () => Wire | null;
  readonly #memory = new MemoryFloor();
  /** QoS of the subscriptions on this connection. */
  #qos: 0 | 1 = 1;

  constructor(robot: RobotId, wire: () => Wire | null, log: Log) {
    this.#robot = robot;
    this.#wire = wire;
    this.#log = log;
  }

  get isUp(): boolean {
    return this.#wire()?.isUp === true;
  }

  get bodyAtMs(): number {
    return this.#wire()?.bodyAtMs ?? -Infinity;
  }

  /** The wire awaits it, so that a slow disk slows the link instead of filling memory. */
  async deliver(bytes: Uint8Array): Promise<void> {
    if (this.#listeners.size === 0) return;
    const hash = sha256Hex(bytes); // [P-7.2]
    for (const listener of [...this.#listeners]) await listener.onChunk(hash, bytes);
    this.#memory.passed(bytes.byteLength);
  }

  up(): void {
    this.#qos = 1;
    for (const listener of [...this.#listeners]) listener.onUp();
  }

  down(): void {
    for (const listener of [...this.#listeners]) listener.onDown();
  }

  attach(listener: PullListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  subscribeChunks(hashes: readonly Sha256Hex[]): void {
    this.#tolerate('subscribe', this.#ask(hashes.map(chunkTopic)));
  }

  /** A refusal of QoS 1 lasts: the next chunks must not wait for it each time. */
  async #ask(topics: readonly string[]): Promise<void> {
    if (this.#qos === 0) return await this.#link().subscribe(topics, 0);
    this.#qos = (await subscribeGently(this.#link(), topics)) === 0 ? 0 : this.#qos;
  }

  unsubscribeChunks(hashes: readonly Sha256Hex[]): void {
    this.#tolerate('unsubscribe', this.#link().unsubscribe(hashes.map(chunkTopic)));
  }

  wantChunks(hashes: readonly Sha256Hex[]): void {
    const want = { robot_id: this.#robot, at: new Date().toISOString(), chunks: [...hashes] };
    const topic = robotTopic(this.#robot, 'want');
    const sent = this.#link().send(topic, encodeMessage(want), { retain: false, qos: 1 });
    this.#tolerate('want', sent);
  }

  #link(): Wire {
    const wire = this.#wire();
    if (wire) return wire;
    throw new DroverError('BROKER_UNREACHABLE', 'ask for chunks: not connected yet');
  }

  /** The pull's own timer repeats a request that was lost; the failure is only logged. */
  #tolerate(what: string, request: Promise<void>): void {
    request.catch((error: unknown) =>
      this.#log.debug({ what, error: String(error) }, 'chunk link'),
    );
  }
}
