/**
 * Carries the messages of this site's robots to the upstream. Events and requests are on the disk
 * before their robot gets an acknowledgement, and go up in order. Of states and presence only the
 * latest counts, and what the upstream has acknowledged is not sent again. Presence is what THIS
 * broker observes, marked with our name: when our link ends, the upstream counts all of these
 * robots as gone.
 */

import { nullIfRefused, toProblem } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  encodeMessage,
  parseRobotEvent,
  parseRobotState,
  parseWant,
} from '../../shared/formats/messages.ts';
import type { Log, SendOptions } from '../../shared/base/ports.ts';
import { parseTopic, robotFilter, robotTopic } from '../../shared/formats/topics.ts';
import type { Fleet } from '../control/fleet.ts';
import { isHopeless } from './backlog.ts';
import type { RelayWord } from './link.ts';
import { newsOf, ReportBook } from './state-dedup.ts';
import type { ControlStore } from '../control/control-store.ts';
import type { Said, UpstreamQueue } from './outbound-queue.ts';
import type { RobotTopic } from '../control/reports.ts';

const NOTHING = new Uint8Array();
const RETAINED: SendOptions = { retain: true, qos: 1 };
const ONCE: SendOptions = { retain: false, qos: 1 };

export interface UpwardOptions {
  /** Name of this relay. */
  readonly name: string;
  readonly queue: UpstreamQueue;
  readonly control: ControlStore;
  readonly fleet: Fleet;
  readonly log: Log;
  send(topic: string, payload: Uint8Array, options: SendOptions): Promise<void>;
  /** Our presence message. */
  word(): RelayWord;
  /** Publishes the presence message. */
  appear(word: RelayWord): Promise<void>;
  /** Null when the upstream allows again what it had refused. */
  onRefused(error: unknown): void;
}

export class Upward {
  readonly #options: UpwardOptions;
  readonly #states = new ReportBook(LIMITS.upstreamStateMsMin);
  readonly #toldOnline = new Map<RobotId, boolean>();
  readonly #onlineDirty = new Set<RobotId>();
  /**
   * The last request of each robot for a full package, so that it is not queued again and again.
   */
  readonly #asked = new Map<string, string>();
  readonly #tick: NodeJS.Timeout;
  /** Counts connections: a task that began on an earlier one must stop. */
  #epoch = 0;
  #isUp = false;
  #hasAppeared = false;
  #toldWord = '';
  #isPumping = false;
  #isHungry = false;
  #heldUntilMs = -Infinity;

  constructor(options: UpwardOptions) {
    this.#options = options;
    // The upstream may have lost what it acknowledged before this start: everything goes up once.
    for (const { topic } of options.control.match(robotFilter('state'))) {
      const parsed = parseTopic(topic);
      if (parsed?.kind === 'robot') this.#noteState(parsed.robot);
    }
    this.#tick = setInterval(() => this.#onTick(), LIMITS.upstreamTickMs);
  }

  /** Robots with an unsent state, and queued events and requests. */
  get backlog(): { readonly states: number; readonly events: number; readonly dropped: number } {
    const { count, dropped } = this.#options.queue;
    return { states: this.#states.waiting, events: count, dropped };
  }

  /** Called after the fleet registry took the message; durable when it resolves. */
  async report(topic: RobotTopic, payload: Uint8Array): Promise<void> {
    if (topic.leaf === 'events') await this.#keepEvent(topic.robot, payload);
    else if (topic.leaf === 'want') await this.#keepRequest(topic.robot, payload);
    else if (topic.leaf === 'state') this.#noteState(topic.robot);
    // Taken out of service: what an earlier run sent of this robot is cleared as well.
    if (topic.leaf === 'state' && payload.byteLength === 0)
      this.#toldOnline.set(topic.robot, false);
    this.#onlineDirty.add(topic.robot);
    this.#pump();
  }

  /** Another relay, which carries robots of ours, came or went. */
  lookAtAll(): void {
    for (const { robot } of this.#options.fleet.robots()) this.#onlineDirty.add(robot);
    this.#pump();
  }

  up(): void {
    this.#epoch += 1;
    this.#isUp = true;
    this.#hasAppeared = false;
    this.#asked.clear();
    this.#pump();
  }

  down(): void {
    this.#epoch += 1;
    this.#isUp = false;
  }

  close(): void {
    this.down();
    clearInterval(this.#tick);
  }

  /** Publishes the presence message again when it has changed. */
  #onTick(): void {
    if (JSON.stringify(this.#options.word()) !== this.#toldWord) this.#hasAppeared = false;
    this.#pump();
  }

  #noteState(robot: RobotId): void {
    this.#states.changed(robot, this.#newsOf(robot), performance.now());
    this.#onlineDirty.add(robot);
  }

  #newsOf(robot: RobotId): string | null {
    const state = this.#options.fleet.get(robot)?.state;
    return state ? newsOf(state) : null;
  }

  /** An event that cannot be parsed is not queued. */
  async #keepEvent(robot: RobotId, payload: Uint8Array): Promise<void> {
    const event = nullIfRefused(() => parseRobotEvent(payload));
    if (event) await this.#options.queue.addEvent({ ...event, robot_id: robot }, payload);
  }

  /**
   * A want for chunks ends here; a request for a full package goes up, where an operator may have
   * one.
   */
  async #keepRequest(robot: RobotId, payload: Uint8Array): Promise<void> {
    const want = nullIfRefused(() => parseWant(payload));
    if (!want?.package) return;
    const key = `${robot} ${want.package.component}`;
    const text = JSON.stringify(want.package);
    if (this.#asked.get(key) === text) return;
    if (this.#asked.size >= LIMITS.requestsMax) this.#asked.clear();
    const at = new Date(want.at).toISOString();
    const asked = { robot_id: robot, at, chunks: [], package: want.package };
    await this.#options.queue.addWant(robot, encodeMessage(asked));
    this.#asked.set(key, text);
  }

  #pump(): void {
    this.#isHungry = true;
    if (this.#isPumping || !this.#isUp || performance.now() < this.#heldUntilMs) return;
    this.#isPumping = true;
    const run = this.#run().finally(() => (this.#isPumping = false));
    inBackground(this.#options.log, 'send reports upstream', run);
  }

  async #run(): Promise<void> {
    while (this.#isHungry) {
      this.#isHungry = false;
      const epoch = this.#epoch;
      try {
        while (this.#isUp && epoch === this.#epoch && (await this.#sendSome()));
      } catch (error) {
        return this.#fail(error);
      }
    }
  }

  /** @returns false when nothing is due */
  async #sendSome(): Promise<boolean> {
    const onlines = await this.#sendOnlines();
    if (!this.#hasAppeared) {
      // presence goes first: a robot that left meanwhile must not show as online
      if (onlines) return true;
      const word = this.#options.word();
      this.#hasAppeared = true;
      this.#toldWord = JSON.stringify(word);
      await this.#options.appear(word).catch((error: unknown) => {
        this.#hasAppeared = false;
        throw error;
      });
    }
    const events = await this.#sendEvents();
    const states = await this.#sendStates();
    this.#options.onRefused(null);
    return onlines || events || states;
  }

  async #sendOnlines(): Promise<boolean> {
    const { fleet, name } = this.#options;
    const robots = [...this.#onlineDirty].slice(0, LIMITS.upstreamWindow);
    for (const robot of robots) this.#onlineDirty.delete(robot);
    await allOrThrow(robots, async (robot) => {
      const online = fleet.get(robot)?.online ?? null;
      if ((this.#toldOnline.get(robot) ?? null) === online) return;
      const payload = online === null ? NOTHING : encodeMessage({ online, via: name });
      try {
        await this.#options.send(robotTopic(robot, 'online'), payload, RETAINED);
      } catch (error) {
        this.#onlineDirty.add(robot);
        throw error;
      }
      if (online === null) this.#toldOnline.delete(robot);
      else this.#toldOnline.set(robot, online);
    });
    return this.#onlineDirty.size > 0;
  }

  async #sendEvents(): Promise<boolean> {
    const said = await this.#options.queue.take(LIMITS.upstreamWindow);
    await allOrThrow(said, async (one) => await this.#sendSaid(one));
    return said.length > 0;
  }

  async #sendSaid({ at, robot, leaf, payload }: Said): Promise<void> {
    const { queue, log, send } = this.#options;
    try {
      await send(robotTopic(robot, leaf), payload, ONCE);
    } catch (error) {
      const problem = toProblem(error);
      if (!isHopeless(problem.code)) {
        queue.back(at);
        throw error;
      }
      log.error({ robot, problem }, 'upstream rejected an entry, dropped it');
    }
    await queue.remove(at);
  }

  async #sendStates(): Promise<boolean> {
    const robots = this.#states.take(LIMITS.upstreamWindow, performance.now());
    await allOrThrow(robots, async (robot) => {
      const topic = robotTopic(robot, 'state');
      const payload = this.#options.control.get(topic)?.payload ?? NOTHING;
      const state = nullIfRefused(() => parseRobotState(payload));
      // A state that cannot be parsed is not sent; an empty one takes the robot out of service.
      if (!state && payload.byteLength > 0) return;
      try {
        await this.#options.send(topic, payload, RETAINED);
      } catch (error) {
        this.#states.failed(robot, performance.now());
        throw error;
      }
      this.#states.told(robot, state && newsOf(state), performance.now());
    });
    return robots.length > 0;
  }

  /** A lost link is followed by another; a refusal stays until an operator acts. */
  #fail(error: unknown): void {
    if (toProblem(error).code === 'BROKER_UNREACHABLE') return;
    this.#heldUntilMs = performance.now() + LIMITS.upstreamHoldMs;
    this.#options.onRefused(error);
  }
}

/** Runs all tasks to their end, then throws the first failure. */
async function allOrThrow<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const ends = await Promise.allSettled(items.map(task));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed) throw failed.reason;
}
