/**
 * Queue of the events and requests of this site's robots that the upstream has not acknowledged. A
 * message is on the disk before its robot gets the PUBACK, and is removed after the PUBACK of the
 * upstream, so neither a restart nor a lost link loses one. Each has the robot's own number: an
 * event that a robot sends twice is queued once, also after a restart.
 */

import { toProblem } from '../../shared/base/errors.ts';
import { parseRobotId, type RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotEvent } from '../../shared/formats/messages.ts';
import type { Log } from '../../shared/base/ports.ts';
import { encodeMarks, isCopy, mark, parseMarks, type EventMarks } from '../control/event-marks.ts';
import { Backlog } from './backlog.ts';
import type { Operation, DurableLevel } from '../control/durable-level.ts';

const PREFIX = 'said/';
const RANGE = { gte: PREFIX, lt: 'said0' };
const SEEN = 'seen/';
const SEEN_RANGE = { gte: SEEN, lt: 'seen0' };
const keyOf = (at: number): string => `${PREFIX}${String(at).padStart(16, '0')}`;

export interface Said {
  readonly at: number;
  readonly robot: RobotId;
  readonly leaf: 'events' | 'want';
  readonly payload: Uint8Array;
}

/** [P-8.10] */
export class UpstreamQueue {
  readonly #database: DurableLevel;
  readonly #log: Log;
  readonly #backlog = new Backlog({
    countMax: LIMITS.upstreamEventsMax,
    bytesMax: LIMITS.upstreamEventBytesMax,
  });
  readonly #last = new Map<RobotId, EventMarks>();
  #dropped = 0;

  private constructor(database: DurableLevel, log: Log) {
    this.#database = database;
    this.#log = log;
  }

  /** @param database the relay's; whoever opened it closes it */
  static async open(database: DurableLevel, log: Log): Promise<UpstreamQueue> {
    const queue = new UpstreamQueue(database, log);
    for await (const [key, value] of database.entries(RANGE)) {
      queue.#backlog.written(Number(key.slice(PREFIX.length)), String(value).length);
    }
    for await (const [key, value] of database.entries(SEEN_RANGE)) {
      const marks = parseMarks(String(value));
      if (marks) queue.#last.set(parseRobotId(key.slice(SEEN.length)), marks);
    }
    return queue;
  }

  get count(): number {
    return this.#backlog.count;
  }

  /** Messages that were dropped since the start because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Durable when it resolves; a repeated event is not stored again. Calls for one robot are serial.
   * @throws DroverError DISK_FULL, DISK_WRITE_FAILED: the robot must not get its PUBACK then
   */
  async addEvent(event: RobotEvent, payload: Uint8Array): Promise<void> {
    const { robot_id: robot } = event;
    const known = this.#last.get(robot);
    if (isCopy(known, event)) return;
    if (!known && this.#last.size >= LIMITS.robotsMax) return;
    const last = mark(known, event);
    const seen: Operation = { type: 'put', key: `${SEEN}${robot}`, value: encodeMarks(last) };
    await this.#add(`${robot} events`, payload, [seen]);
    this.#last.set(robot, last);
  }

  /** Queues a request for a full package. */
  async addWant(robot: RobotId, payload: Uint8Array): Promise<void> {
    await this.#add(`${robot} want`, payload, []);
  }

  /** The oldest messages that are not being sent. */
  async take(countMax: number): Promise<Said[]> {
    const taken = this.#backlog.take(countMax);
    const said: Said[] = [];
    try {
      for (const at of taken) {
        const one = this.#read(at, await this.#database.get(keyOf(at)));
        if (one) said.push(one);
        else await this.remove(at);
      }
    } catch (error) {
      for (const at of taken) this.back(at);
      throw error;
    }
    return said;
  }

  back(at: number): void {
    this.#backlog.back(at);
  }

  /** The upstream has acknowledged it. If the deletion fails, it goes up again after a restart. */
  async remove(at: number): Promise<void> {
    this.#backlog.removed(at);
    try {
      await this.#database.del(keyOf(at));
    } catch (error) {
      this.#log.warn({ problem: toProblem(error) }, 'entry for the upstream not removed');
    }
  }

  async #add(who: string, payload: Uint8Array, more: readonly Operation[]): Promise<void> {
    const at = this.#backlog.reserve();
    const value = `${who} ${new TextDecoder().decode(payload)}`;
    const entry: Operation = { type: 'put', key: keyOf(at), value };
    await this.#database.batch([entry, ...more], { sync: true });
    this.#backlog.written(at, value.length);
    await this.#makeRoom();
  }

  async #makeRoom(): Promise<void> {
    const excess = this.#backlog.excess();
    if (excess.length === 0) return;
    for (const at of excess) this.#backlog.removed(at);
    this.#dropped += excess.length;
    this.#log.warn({ events: excess.length }, 'upstream queue is full, dropped the oldest entry');
    await this.#database.batch(excess.map((at) => ({ type: 'del', key: keyOf(at) }) as const));
  }

  /** A damaged entry must not hold up the others. */
  #read(at: number, value: unknown): Said | null {
    const [robot = '', leaf, ...rest] = String(value).split(' ');
    try {
      if (leaf !== 'events' && leaf !== 'want') throw new TypeError(`no leaf: ${leaf}`);
      const payload = new TextEncoder().encode(rest.join(' '));
      return { at, robot: parseRobotId(robot), leaf, payload };
    } catch (error) {
      this.#log.error({ problem: toProblem(error) }, 'entry for the upstream cannot be read');
      return null;
    }
  }
}
