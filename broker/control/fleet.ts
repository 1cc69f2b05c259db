/**
 * The registry of robots: a fold over their states, presence, events and requests. It is bounded.
 * It serves people and gates; nothing is installed because of it. Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type {
  ComponentState,
  RefusedProgressFields,
  RelayProblem,
  RobotEvent,
  RobotState,
  WantMessage,
} from '../../shared/formats/messages.ts';
import { clockAhead } from '../../shared/rules/clock-off.ts';
import { isThere } from '../../shared/rules/presence.ts';
import { FleetCounts } from './fleet-counts.ts';
import { isCopy, mark, type EventMarks } from './event-marks.ts';
import { Twins, type TwinAlarm } from './twins.ts';

export interface RobotRecord {
  readonly robot: RobotId;
  readonly online: boolean;
  /** The relay that carries it; null for a robot that is connected here. */
  readonly via: string | null;
  /** When its last message arrived; null when it is only known from before this start. */
  readonly lastSeenMs: EpochMs | null;
  readonly state: RobotState | null;
}

export interface PackageRequest {
  readonly robot: RobotId;
  readonly atMs: EpochMs;
  readonly wanted: NonNullable<WantMessage['package']>;
}

/** `voice`: whose credentials brought it, see `voiceOf`. */
export type RefusalOf = RefusedProgressFields[number] & { readonly voice: string };

/** Robots of one relay share its credentials: together they are one voice. */
export const voiceOf = ({ robot, via }: Pick<RobotRecord, 'robot' | 'via'>): string =>
  via === null ? robot : `relay ${via}`;

/** The component that stands for the robot in short lists: `app`, else its first. */
export function mainComponent(record: RobotRecord): ComponentState | null {
  const components = record.state?.components ?? [];
  return components.find((one) => one.name === 'app') ?? components[0] ?? null;
}

export class Fleet {
  readonly #robots = new Map<RobotId, RobotRecord>();
  /** Ids in order, without those that came since the last sorting. */
  #ordered: readonly RobotId[] = [];
  /** Came since then; a robot that went is left out when the list is read. */
  #unordered: RobotId[] = [];
  #hasGone = false;
  readonly #counts = new FleetCounts();
  #revision = 0;
  readonly #watchers = new Set<(robot: RobotId) => void>();
  readonly #lastEvent = new Map<RobotId, EventMarks>();
  readonly #twins = new Twins();
  /** The clock of each robot minus ours, when its last report arrived. */
  readonly #aheadMs = new Map<RobotId, number>();
  readonly #events: RobotEvent[] = [];
  readonly #requests = new Map<string, PackageRequest>();
  /** Online relays. A robot of any other relay is not known to be online. */
  readonly #relays = new Map<string, RefusedProgressFields>();
  readonly #relayProblems = new Map<string, RelayProblem>();
  /** Robots that their relay last reported as online. */
  readonly #saidOnline = new Map<RobotId, string>();

  /**
   * For robots that are online and connected here: a report through a relay may have waited there.
   * Empty while most of these clocks are right, as they should be: that is known without a walk.
   */
  clocksAheadMs(): number[] {
    if (!this.#counts.areMostClocksOff) return [];
    const found: number[] = [];
    for (const [robot, aheadMs] of this.#aheadMs) {
      const record = this.#robots.get(robot);
      if (record?.online === true && record.via === null) found.push(aheadMs);
    }
    return found;
  }

  /** The clock of a robot minus ours; null when unknown. */
  clockAheadMs(record: RobotRecord): number | null {
    return clockAhead(this.#aheadMs.get(record.robot), record);
  }

  /** @param now null for a state that was retained before this start */
  applyState(state: RobotState, now: EpochMs | null): void {
    if (now !== null) this.#twins.heard(state.robot_id, state.instance, now);
    this.#change(state.robot_id, { state, ...(now === null ? {} : { lastSeenMs: now }) });
    const isKnown = this.#robots.has(state.robot_id);
    if (now !== null && isKnown) this.#aheadMs.set(state.robot_id, state.at - now);
    this.#noteClock(state.robot_id);
    this.#revision += 1;
  }

  /**
   * @param now null for a message retained before we subscribed
   * @param via the relay that reports it: the report holds only while that relay is online
   */
  applyOnline(
    robot: RobotId,
    online: boolean,
    now: EpochMs | null,
    via: string | null = null,
  ): void {
    if (online && via !== null) this.#saidOnline.set(robot, via);
    else this.#saidOnline.delete(robot);
    const isKnown = isThere({ online, via }, this.#relays);
    this.#change(robot, { online: isKnown, via, ...(now === null ? {} : { lastSeenMs: now }) });
  }

  /**
   * A relay came or went, and with it the presence of its robots.
   * @param refused progress that it does not forward to them
   * @param problem why it brings them nothing
   */
  applyRelay(
    relay: string,
    isThere: boolean,
    refused: RefusedProgressFields = [],
    problem: RelayProblem | null = null,
  ): void {
    const hasRoom = this.#relays.has(relay) || this.#relays.size < LIMITS.sessionsMax;
    if (isThere && hasRoom) this.#relays.set(relay, refused);
    else this.#relays.delete(relay);
    if (problem && this.#relays.has(relay)) this.#relayProblems.set(relay, problem);
    else this.#relayProblems.delete(relay);
    this.#revision += 1;
    for (const [robot, via] of this.#saidOnline) {
      if (via === relay) this.#change(robot, { online: this.#relays.has(relay) });
    }
  }

  /** Online relays by name, with the problem that each reports. */
  relays(): { readonly relay: string; readonly problem: RelayProblem | null }[] {
    const names = [...this.#relays.keys()].sort();
    return names.map((relay) => ({ relay, problem: this.#relayProblems.get(relay) ?? null }));
  }

  /** Why an online robot may get nothing: its relay reports so. */
  relayProblemOf({ via }: RobotRecord): RelayProblem | null {
    return (via !== null && this.#relayProblems.get(via)) || null;
  }

  hasRelay(relay: string): boolean {
    return this.#relays.has(relay);
  }

  /** Progress that an online robot, or an online relay for its robots, refuses. */
  refusedProgress(): RefusalOf[] {
    const refusing = [...this.#counts.refusing()].flatMap((one) => this.#robots.get(one) ?? []);
    const robots = refusing.filter(({ online }) => online);
    return [
      ...[...this.#relays].flatMap(([relay, all]) =>
        all.map((one) => ({ voice: `relay ${relay}`, ...one })),
      ),
      ...robots.flatMap((record) =>
        (record.state?.progress_refused ?? []).map((one) => ({ voice: voiceOf(record), ...one })),
      ),
    ];
  }

  /** True for a repeated event. */
  hasSeen(event: RobotEvent): boolean {
    return isCopy(this.#lastEvent.get(event.robot_id), event);
  }

  /**
   * @param now null for one from before this start
   * @returns false for a repeated event
   */
  applyEvent(event: RobotEvent, now: EpochMs | null): boolean {
    if (this.hasSeen(event)) return false;
    this.#change(event.robot_id, now === null ? {} : { lastSeenMs: now });
    if (!this.#robots.has(event.robot_id)) return false;
    this.#lastEvent.set(event.robot_id, mark(this.#lastEvent.get(event.robot_id), event));
    this.#events.push(event);
    if (this.#events.length > LIMITS.recentEventsMax) this.#events.shift();
    return true;
  }

  applyWant(want: WantMessage, now: EpochMs): void {
    const wanted = want.package;
    if (!wanted) return;
    const key = `${want.robot_id} ${wanted.component}`;
    this.#requests.delete(key);
    this.#requests.set(key, { robot: want.robot_id, atMs: now, wanted });
    const [oldest] = this.#requests.keys();
    if (this.#requests.size > LIMITS.requestsMax && oldest) this.#requests.delete(oldest);
  }

  /** The robot was retired: its retained state was cleared. */
  forget(robot: RobotId): void {
    this.#counts.replace(this.#robots.get(robot), undefined);
    if (this.#robots.delete(robot)) this.#hasGone = true;
    this.#twins.forget(robot);
    this.#aheadMs.delete(robot);
    this.#noteClock(robot);
    this.#lastEvent.delete(robot);
    this.#saidOnline.delete(robot);
    for (const [key, request] of this.#requests) {
      if (request.robot === robot) this.#requests.delete(key);
    }
    this.#tell(robot);
  }

  get(robot: string): RobotRecord | undefined {
    return this.#robots.get(robot as RobotId);
  }

  /** Since when two robots use this id; null while there is no sign of it. */
  twinsOf(robot: RobotId): TwinAlarm | null {
    return this.#twins.of(robot);
  }

  /** How many ids two robots use. */
  countTwins(): number {
    return this.#twins.alarmed().filter((robot) => this.#robots.has(robot)).length;
  }

  /** By id, so that two listings can be compared. */
  robots(): RobotRecord[] {
    const found: RobotRecord[] = [];
    // A loop: `flatMap` takes ten times as long, which is a long pause with 100,000 robots.
    for (const robot of this.ids()) {
      const record = this.#robots.get(robot);
      if (record) found.push(record);
    }
    return found;
  }

  /** Kept by the reports: asking costs as much as there are versions. */
  get counts(): Pick<FleetCounts, 'online' | 'components'> {
    return this.#counts;
  }

  /** Of all robots, in the order of `robots`. */
  ids(): readonly RobotId[] {
    if (this.#hasGone || this.#unordered.length > 0) this.#order();
    return this.#ordered;
  }

  /** Sorting what is nearly sorted takes one step for each robot. */
  #order(): void {
    const known = this.#hasGone ? this.#ordered.filter((one) => this.#robots.has(one)) : null;
    const came = this.#unordered.filter((one) => this.#robots.has(one)).sort();
    const all = [...(known ?? this.#ordered), ...came].sort();
    // One that went and came back stands in both.
    this.#ordered = this.#hasGone ? all.filter((one, at) => one !== all[at - 1]) : all;
    this.#unordered = [];
    this.#hasGone = false;
  }

  get size(): number {
    return this.#robots.size;
  }

  /**
   * Calls back for each robot whose record changes or goes.
   * @returns a function that ends it
   */
  watch(onChange: (robot: RobotId) => void): () => void {
    this.#watchers.add(onChange);
    return () => void this.#watchers.delete(onChange);
  }

  /** Rises with each change of a robot or a relay: the same number is the same answer. */
  get revision(): number {
    return this.#revision;
  }

  #tell(robot: RobotId): void {
    this.#revision += 1;
    for (const tell of this.#watchers) tell(robot);
  }

  /** Oldest first. */
  recentEvents(): readonly RobotEvent[] {
    return this.#events;
  }

  /**
   * Requests for full packages, newest last; one for each robot and component, removed once it
   * runs.
   */
  requests(): PackageRequest[] {
    return [...this.#requests.values()].filter(({ robot, wanted }) => {
      const components = this.#robots.get(robot)?.state?.components ?? [];
      const now = components.find((one) => one.name === wanted.component);
      return !now || now.version === wanted.current_version;
    });
  }

  #noteClock(robot: RobotId): void {
    const { online = false, via = null } = this.#robots.get(robot) ?? {};
    const isHere = online && via === null;
    this.#counts.noteClock(robot, isHere ? this.#aheadMs.get(robot) : undefined);
  }

  #change(robot: RobotId, change: Partial<RobotRecord>): void {
    const known = this.#robots.get(robot);
    if (!known && this.#robots.size >= LIMITS.robotsMax) return;
    const before = known ?? { robot, online: false, via: null, lastSeenMs: null, state: null };
    const after = { ...before, ...change };
    this.#robots.set(robot, after);
    this.#counts.replace(known, after);
    if (known?.online !== after.online || known.via !== after.via) this.#noteClock(robot);
    if (!known) this.#unordered.push(robot);
    if (this.#unordered.length >= LIMITS.indexSliceRobots) this.#order();
    this.#tell(robot);
  }
}
