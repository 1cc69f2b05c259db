/**
 * Takes messages from an external engine: verified documents into a mirror in --data, robots into
 * the fleet registry, events into the journal. Anybody with the right to write to that engine can
 * write anything, and it may lose messages; so a document that is not the newest verified one is
 * replaced by that one. That holds for signed documents only: a robot publishes its own state
 * again.
 */

import { DroverError, nullIfRefused, toProblem } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';
import {
  assertFresh,
  openAnnouncement,
  type Announcement,
} from '../../shared/formats/announcement.ts';
import { parseOnline, parseRobotEvent } from '../../shared/formats/messages.ts';
import { openProgress } from '../../shared/formats/progress.ts';
import {
  parseTopic,
  PROGRESS_FILTER,
  robotFilter,
  robotTopic,
  TRUST_FILTER,
  trustTopic,
  UPDATES_TOPIC,
  type Topic,
} from '../../shared/formats/topics.ts';
import type { LiveTrust } from '../../shared/formats/trust-chain.ts';
import type { ControlStore } from '../control/control-store.ts';
import type { Fleet } from '../control/fleet.ts';
import { planIngest, vouchForSigned } from '../control/ingest.ts';
import { isLogTopic } from '../control/log-keeper.ts';
import {
  noteRelay,
  noteReport,
  reportSinks,
  type ReportSinks,
  type RobotTopic,
} from '../control/reports.ts';
import { LaterTrusts, walkTrust } from '../control/trust.ts';
import type { BrokerEvents } from '../events.ts';
import type { EventCounters } from '../control/event-metrics.ts';
import type { HeardMessage } from '../mqtt/engine-port.ts';
import { isTrialTopic } from './engine-needs.ts';
import type { EventJournal } from './event-journal.ts';
import type { LogMirror } from './log-mirror.ts';
import { isTrialTopicOfLog } from './log-trial.ts';
import { Presence } from './presence.ts';

export interface AttachedIntakeOptions {
  readonly control: ControlStore;
  readonly journal: EventJournal;
  readonly fleet: Fleet;
  readonly counters: EventCounters;
  readonly trust: LiveTrust;
  /** The engine publishes wills of lost connections, also after it was killed. */
  readonly keepsWills: boolean;
  readonly log: Log;
  /** Guards the transparency log; null: nothing guards it. */
  readonly logMirror?: LogMirror | null;
  /** For `control`: unverified messages of the engine. */
  readonly events: BrokerEvents;
  /** Publishes a retained message again. */
  restore(topic: string, payload: Uint8Array): Promise<void>;
}

export class AttachedIntake {
  readonly #options: AttachedIntakeOptions;
  readonly #sinks: ReportSinks;
  readonly #presence = new Presence();
  /** Topics on which this connection has brought what our mirror holds. */
  readonly #confirmed = new Set<string>();
  readonly #restoredMs = new Map<string, number>();
  readonly #laterTrusts = new LaterTrusts();
  /** Messages of this connection that did not verify. They may verify under the next root. */
  readonly #refused = new Map<string, { topic: Topic; payload: Uint8Array }>();
  /**
   * Topics that are being written. Their stored message is old, so it must not be published now.
   */
  readonly #underWay = new Set<string>();
  #isSettled = false;
  #expired: Announcement | null = null;

  constructor(options: AttachedIntakeOptions) {
    this.#options = options;
    this.#sinks = reportSinks(options);
  }

  /**
   * The announcement on the engine that was refused because it has expired. It is signed for this
   * fleet. Null when the engine holds none.
   */
  get expiredAnnouncement(): Announcement | null {
    return this.#expired;
  }

  #ownOf(payload: Uint8Array): Announcement | null {
    const found = nullIfRefused(() => openAnnouncement(payload, this.#options.trust));
    return found && found.expires_at <= Date.now() ? found : null;
  }

  /**
   * Restores what was known before this start: robots and their events, but not which robots are
   * online.
   */
  async remember(): Promise<void> {
    const { control, journal, fleet, log } = this.#options;
    for (const filter of [UPDATES_TOPIC, PROGRESS_FILTER]) {
      for (const { topic, payload } of [...control.match(filter)]) {
        if (this.#holds(topic, payload)) continue;
        log.warn({ topic }, 'dropped state that was kept under another trust file');
        await control.put({ topic, payload: NOTHING, qos: 1 });
      }
    }
    for (const { topic, payload } of control.match(robotFilter('state'))) {
      const parsed = parseTopic(topic);
      if (parsed?.kind === 'robot') noteReport(this.#sinks, parsed, { payload, now: null });
    }
    for await (const event of journal.events(log)) {
      // An event of a robot that was retired does not bring it back.
      if (fleet.get(event.robot_id)) fleet.applyEvent(event, null);
    }
  }

  linkUp(): void {
    this.#presence.up(performance.now());
    this.#confirmed.clear();
    this.#refused.clear();
    this.#options.logMirror?.linkUp();
    this.#isSettled = false;
  }

  linkDown(): void {
    this.#presence.down();
    this.#isSettled = false;
  }

  /** All retained messages of the engine have arrived: missing ones are published again. */
  settled(): void {
    this.#isSettled = true;
    this.tend();
  }

  /** Publishes what the engine should hold and does not; called every `restoreMsMin`. */
  tend(): void {
    if (!this.#isSettled) return;
    const topics = this.#signedTopics();
    for (const topic of topics) {
      if (!this.#confirmed.has(topic) && !this.#underWay.has(topic)) this.#restore(topic);
    }
    for (const topic of this.#restoredMs.keys()) {
      if (!topics.includes(topic)) this.#restoredMs.delete(topic);
    }
    this.#options.logMirror?.tend();
  }

  /** Topics whose newest message the engine has sent or echoed, without expired documents. */
  expected(): string[] {
    if (!this.#isSettled) return [];
    const signed = this.#signedTopics().filter((topic) => {
      const stored = this.#options.control.get(topic);
      const isHeld = this.#confirmed.has(topic) && !this.#underWay.has(topic);
      return isHeld && stored !== undefined && this.#holds(topic, stored.payload, Date.now());
    });
    return [...signed, ...(this.#options.logMirror?.expected() ?? [])];
  }

  /** Publishes retained messages again that the engine sent once and does not send any more. */
  lost(topics: readonly string[]): void {
    for (const topic of topics) this.#confirmed.delete(topic);
    this.#options.logMirror?.lost(topics);
    this.tend();
  }

  /** Marks robots offline that were silent for too long. Call it periodically. */
  sweep(): void {
    const { fleet, keepsWills, log } = this.#options;
    if (keepsWills) return;
    const online = fleet.robots().filter((one) => one.online);
    const names = online.map((one) => one.robot);
    for (const robot of this.#presence.sweep(names, performance.now())) {
      fleet.applyOnline(robot, false, null);
      log.warn({ robot }, 'robot is silent for too long, marked as offline');
    }
  }

  /** @throws only when an event could not be written: it must not be acknowledged then */
  async take({ topic: text, payload, isReplay }: HeardMessage): Promise<void> {
    const topic = this.#ours(text, payload);
    if (!topic) return;
    if (topic.kind === 'robot') return await this.#takeReport(topic, payload, isReplay);
    if (topic.kind === 'trust') return await this.#takeTrust(topic.version, payload);
    if (topic.kind === 'relay') return noteRelay(this.#sinks, topic.relay, payload);
    if (isLogTopic(topic)) return await this.#options.logMirror?.take(topic, payload);
    if (topic.kind === 'updates' || topic.kind === 'progress') {
      await this.#takeSigned(text, topic, payload);
    }
    this.#options.events.emit('control', topic, payload);
  }

  /**
   * Takes an update of the trust root. An engine sends these in any order: an update of a later
   * version waits for those before it.
   */
  async #takeTrust(version: number, payload: Uint8Array): Promise<void> {
    const { control, trust, log } = this.#options;
    if (version <= trust.version)
      return await this.#takeSigned(trustTopic(version), { kind: 'trust', version }, payload);
    this.#laterTrusts.keep(version, payload.slice());
    for (;;) {
      const next = trust.version + 1;
      const update = this.#laterTrusts.take(next);
      if (!update) return;
      await this.#takeSigned(trustTopic(next), { kind: 'trust', version: next }, update);
      walkTrust(trust, control, log);
      if (trust.version < next) return;
      await this.#lookAgain();
    }
  }

  /**
   * Checks the refused documents again under a new root. The engine may hold newer documents than
   * we do, and these must not be replaced.
   */
  async #lookAgain(): Promise<void> {
    const refused = [...this.#refused];
    this.#refused.clear();
    for (const [text, { topic, payload }] of refused) {
      await this.#takeSigned(text, topic, payload);
      this.#options.events.emit('control', topic, payload);
    }
  }

  #ours(text: string, payload: Uint8Array): Topic | null {
    const { counters, log } = this.#options;
    // Of this broker, or of one that stands by.
    if (isTrialTopic(text) || isTrialTopicOfLog(text)) return null;
    try {
      const plan = planIngest(text, payload.byteLength);
      if (plan.kind === 'chunk') return null;
      counters.countMessage(plan.topic.kind);
      return plan.topic;
    } catch (error) {
      counters.countRefusal(toProblem(error).code);
      log.warn({ topic: text.slice(0, 200), problem: toProblem(error) }, 'message ignored');
      return null;
    }
  }

  /** Takes a document into the mirror when it is the newest that verifies; else publishes ours. */
  async #takeSigned(text: string, topic: Topic, payload: Uint8Array): Promise<void> {
    const { control, trust, counters, log } = this.#options;
    const stored = control.get(text)?.payload ?? null;
    if (stored && bytesEqual(stored, payload)) return void this.#confirmed.add(text);
    this.#confirmed.delete(text);
    this.#refused.delete(text);
    try {
      if (payload.byteLength === 0) throw emptied(text);
      vouchForSigned({ topic, payload, stored, trust, now: Date.now() });
      await this.#store(text, payload);
      if (topic.kind === 'updates') this.#expired = null;
    } catch (error) {
      const problem = toProblem(error);
      counters.countRefusal(problem.code);
      log.warn({ topic: text, problem }, 'rejected a retained message of the engine');
      if (topic.kind === 'updates') this.#expired = this.#ownOf(payload);
      if (this.#refused.size < LIMITS.rolloutsMax * 2) {
        this.#refused.set(text, { topic, payload: payload.slice() });
      }
      return this.tend();
    }
    if (topic.kind === 'updates') this.#options.events.emit('announced');
  }

  async #store(text: string, payload: Uint8Array): Promise<void> {
    this.#underWay.add(text);
    try {
      await this.#options.control.put({ topic: text, payload: payload.slice(), qos: 1 });
      this.#confirmed.add(text);
    } finally {
      this.#underWay.delete(text);
    }
  }

  async #takeReport(topic: RobotTopic, payload: Uint8Array, isReplay: boolean): Promise<void> {
    if (topic.leaf === 'events') return await this.#takeEvent(topic, payload);
    const now = isReplay ? null : Date.now();
    noteReport(this.#sinks, topic, { payload, now });
    if (payload.byteLength === 0) this.#presence.forget(topic.robot);
    else if (topic.leaf === 'online') this.#noteOnline(topic.robot, payload);
    else if (!isReplay) this.#noteVoice(topic.robot);
    if (topic.leaf === 'state') await this.#keepState(topic.robot, payload);
  }

  /** Stores a state without fsync: the engine retains it as well. */
  async #keepState(robot: RobotId, payload: Uint8Array): Promise<void> {
    const { control, fleet, log } = this.#options;
    const topic = robotTopic(robot, 'state');
    const known = control.get(topic)?.payload ?? NOTHING;
    // A robot has no record when its state is invalid or the fleet is full.
    if (bytesEqual(known, payload) || (payload.byteLength > 0 && !fleet.get(robot))) return;
    try {
      await control.put({ topic, payload: payload.slice(), qos: 1 }, false);
    } catch (error) {
      log.warn({ robot, problem: toProblem(error) }, 'state not kept over restarts');
    }
  }

  async #takeEvent(topic: RobotTopic, payload: Uint8Array): Promise<void> {
    const { fleet, journal } = this.#options;
    this.#noteVoice(topic.robot);
    const event = nullIfRefused(() => ({ ...parseRobotEvent(payload), robot_id: topic.robot }));
    if (event && fleet.hasSeen(event)) return;
    if (event) await journal.add(topic.robot, payload);
    noteReport(this.#sinks, topic, { payload, now: Date.now() });
  }

  #noteOnline(robot: RobotId, payload: Uint8Array): void {
    const online = nullIfRefused(() => parseOnline(payload));
    if (online !== null) this.#presence.told(robot, online, performance.now());
  }

  #noteVoice(robot: RobotId): void {
    const { fleet } = this.#options;
    const known = fleet.get(robot);
    if (!known || !this.#presence.spoke(robot, performance.now())) return;
    if (!known.online) fleet.applyOnline(robot, true, null, known.via);
  }

  /**
   * Topics of signed documents, including progress of a rollout that is no longer announced: it may
   * recall robots.
   */
  #signedTopics(): string[] {
    const { control } = this.#options;
    const kept = [TRUST_FILTER, PROGRESS_FILTER].flatMap((filter) => [...control.match(filter)]);
    return [UPDATES_TOPIC, ...kept.map(({ topic }) => topic)];
  }

  #restore(topic: string): void {
    const { control, log, restore } = this.#options;
    const stored = control.get(topic);
    const now = performance.now();
    const againMs = (this.#restoredMs.get(topic) ?? -Infinity) + LIMITS.restoreMsMin;
    if (!stored || now < againMs) return;
    // An expired document is of no use to a robot: it is not checked again on this connection.
    if (!this.#holds(topic, stored.payload, Date.now())) return void this.#confirmed.add(topic);
    this.#restoredMs.set(topic, now);
    log.warn({ topic }, 'put a lost or changed message back on the engine');
    restore(topic, stored.payload).catch((error: unknown) => {
      // The next connection shows again what the engine holds.
      log.warn({ topic, problem: toProblem(error) }, 'could not put a message back on the engine');
    });
  }

  /** True when the document is signed for this fleet and, if `now` is given, not expired. */
  #holds(topic: string, payload: Uint8Array, now = 0): boolean {
    // A trust root was verified when it arrived, and it never expires.
    if (parseTopic(topic)?.kind === 'trust') return true;
    const read = topic === UPDATES_TOPIC ? openAnnouncement : openProgress;
    return (
      nullIfRefused(() => {
        assertFresh(read(payload, this.#options.trust), 0, now);
        return true;
      }) ?? false
    );
  }
}

const NOTHING = new Uint8Array();

const emptied = (topic: string): DroverError =>
  new DroverError('ANNOUNCEMENT_INVALID', `take ${topic}: somebody cleared it`);
