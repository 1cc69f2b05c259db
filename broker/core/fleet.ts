/**
 * The fleet as its robots tell it: a fold over their states, their comings and goings, their events
 * and their wishes. Pure and bounded. It is a picture for people and gates; nothing is installed on
 * its account.
 */

import type { EpochMs, RobotId } from '../../shared/ids.ts';
import { LIMITS } from '../../shared/limits.ts';
import type { ComponentState, RobotEvent, RobotState, Want } from '../../shared/messages.ts';

export interface RobotRecord {
  readonly robot: RobotId;
  readonly online: boolean;
  /** When it last said anything; null when it was only remembered from before this start. */
  readonly lastSeenMs: EpochMs | null;
  readonly state: RobotState | null;
}

export interface PackageRequest {
  readonly robot: RobotId;
  readonly atMs: EpochMs;
  readonly wanted: NonNullable<Want['package']>;
}

/** The component that stands for the robot in short lists: `app`, else its first. */
export function mainComponent(record: RobotRecord): ComponentState | null {
  const components = record.state?.components ?? [];
  return components.find((one) => one.name === 'app') ?? components[0] ?? null;
}

export class Fleet {
  readonly #robots = new Map<RobotId, RobotRecord>();
  readonly #eventSeq = new Map<RobotId, number>();
  readonly #events: RobotEvent[] = [];
  readonly #requests = new Map<string, PackageRequest>();

  /** @param now null for a state that was retained before this start */
  applyState(state: RobotState, now: EpochMs | null): void {
    this.#change(state.robot_id, { state, ...(now === null ? {} : { lastSeenMs: now }) });
  }

  applyOnline(robot: RobotId, online: boolean, now: EpochMs): void {
    this.#change(robot, { online, lastSeenMs: now });
  }

  /** @returns false for a copy of an event that was seen before */
  applyEvent(event: RobotEvent, now: EpochMs): boolean {
    const known = this.#eventSeq.get(event.robot_id) ?? 0;
    if (event.event_seq <= known && !isFreshStart(event, known)) return false;
    this.#change(event.robot_id, { lastSeenMs: now });
    if (!this.#robots.has(event.robot_id)) return false;
    this.#eventSeq.set(event.robot_id, event.event_seq);
    this.#events.push(event);
    if (this.#events.length > LIMITS.recentEventsMax) this.#events.shift();
    return true;
  }

  applyWant(want: Want, now: EpochMs): void {
    const wanted = want.package;
    if (!wanted) return;
    const key = `${want.robot_id} ${wanted.component}`;
    this.#requests.delete(key);
    this.#requests.set(key, { robot: want.robot_id, atMs: now, wanted });
    const [oldest] = this.#requests.keys();
    if (this.#requests.size > LIMITS.requestsMax && oldest) this.#requests.delete(oldest);
  }

  /** A robot that was taken out of service: its retained state was cleared. */
  forget(robot: RobotId): void {
    this.#robots.delete(robot);
    this.#eventSeq.delete(robot);
    for (const [key, request] of this.#requests) {
      if (request.robot === robot) this.#requests.delete(key);
    }
  }

  get(robot: string): RobotRecord | undefined {
    return this.#robots.get(robot as RobotId);
  }

  /** By id, so that two listings can be compared. */
  robots(): RobotRecord[] {
    return [...this.#robots.values()].sort((a, b) => (a.robot < b.robot ? -1 : 1));
  }

  /** Oldest first. */
  recentEvents(): readonly RobotEvent[] {
    return this.#events;
  }

  /** What robots could not get, newest last; one for each robot and component, gone once it runs. */
  requests(): PackageRequest[] {
    return [...this.#requests.values()].filter(({ robot, wanted }) => {
      const components = this.#robots.get(robot)?.state?.components ?? [];
      const now = components.find((one) => one.name === wanted.component);
      return !now || now.version === wanted.current_version;
    });
  }

  #change(robot: RobotId, change: Partial<RobotRecord>): void {
    const known = this.#robots.get(robot);
    if (!known && this.#robots.size >= LIMITS.robotsMax) return;
    const before = known ?? { robot, online: false, lastSeenMs: null, state: null };
    this.#robots.set(robot, { ...before, ...change });
  }
}

/** A robot whose disk was replaced counts from the beginning again. */
function isFreshStart(event: RobotEvent, known: number): boolean {
  return event.event_seq === 1 && known > LIMITS.outboxEventsMax;
}
