/**
 * Notices two robots with one id, such as two cards that were copied from one. Each agent draws a
 * random name at its start. A replaced name never returns by a restart; it returns when both robots
 * run. Its second return within an hour counts, since a late message may look the same. It works on
 * any engine and behind relays. Sans-I/O.
 */

import type { EpochMs, RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';

/** `instances`: how many different agents alternated. */
export interface TwinAlarm {
  readonly sinceMs: EpochMs;
  readonly lastMs: EpochMs;
  readonly instances: number;
}

interface Seen {
  /** The latest one is last. */
  readonly names: readonly string[];
  readonly returnsMs: readonly EpochMs[];
  readonly alarm: TwinAlarm | null;
}

const NOTHING: Seen = { names: [], returnsMs: [], alarm: null };

export class Twins {
  readonly #seen = new Map<RobotId, Seen>();
  readonly #alarmed = new Set<RobotId>();

  /** @param name of the agent that sent it; empty for one of 0.1, which has none */
  heard(robot: RobotId, name: string, now: EpochMs): void {
    if (name === '') return;
    const before = this.#seen.get(robot);
    if (!before && this.#seen.size >= LIMITS.robotsMax) return;
    const seen = step(before ?? NOTHING, name, now);
    this.#seen.set(robot, seen);
    if (seen.alarm) this.#alarmed.add(robot);
    else this.#alarmed.delete(robot);
  }

  of(robot: RobotId): TwinAlarm | null {
    return this.#seen.get(robot)?.alarm ?? null;
  }

  /** Robots that `of` gives an alarm for. */
  alarmed(): RobotId[] {
    return [...this.#alarmed];
  }

  forget(robot: RobotId): void {
    this.#seen.delete(robot);
    this.#alarmed.delete(robot);
  }
}

function step({ names, returnsMs, alarm }: Seen, name: string, now: EpochMs): Seen {
  const isReturn = names.includes(name) && names.at(-1) !== name;
  const others = names.filter((one) => one !== name);
  const recent = returnsMs.filter((atMs) => atMs <= now && now - atMs < LIMITS.twinWindowMs);
  const returns = (isReturn ? [...recent, now] : recent).slice(-LIMITS.twinReturnsMin);
  const isOld = alarm !== null && (returns.length === 0 || now < alarm.sinceMs);
  const held = isOld ? null : alarm;
  const isNew = isReturn && returns.length >= LIMITS.twinReturnsMin;
  return {
    names: [...others, name].slice(-LIMITS.twinNamesMax),
    returnsMs: returns,
    alarm:
      isNew || (held && isReturn)
        ? {
            sinceMs: held?.sinceMs ?? now,
            lastMs: now,
            instances: names.length - names.indexOf(name),
          }
        : held,
  };
}
