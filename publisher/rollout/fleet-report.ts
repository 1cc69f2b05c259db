/**
 * Shows a fleet by the last reports of its robots: counts by version, a table, and requests for a
 * full package. A message that does not parse is counted and not fatal: one broken robot must not
 * hide the others. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import { printable } from '../../shared/base/printable.ts';
import { DroverError, type Problem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { clockAhead, robotClockProblem } from '../../shared/rules/clock-off.ts';
import {
  parsePresence,
  parseRobotState,
  type ComponentState,
  type OnlineMessage,
  type RelayProblem,
  type RobotState,
} from '../../shared/formats/messages.ts';
import { parseTopic } from '../../shared/formats/topics.ts';
import { UNKNOWN, versionShown } from '../../shared/rules/running-version.ts';
import { isThere } from '../../shared/rules/presence.ts';
import { isPastProblem } from '../../shared/rules/worst-component.ts';
import { compareVersions } from '../../shared/base/version.ts';

export class FleetView implements FleetRows {
  readonly #states = new Map<string, RobotState>();
  readonly #online = new Map<string, OnlineMessage>();
  readonly #relays = new Map<string, OnlineMessage>();
  readonly #invalid = new Set<string>();

  /** Takes any message; only states of robots and presence change anything. */
  take(topic: string, payload: Uint8Array): void {
    const parsed = parseTopic(topic);
    if (parsed?.kind === 'relay') return this.#takeRelay(topic, parsed.relay, payload);
    if (parsed?.kind !== 'robot') return;
    const { robot, leaf } = parsed;
    if (payload.byteLength === 0) {
      if (leaf === 'state') this.#states.delete(robot);
      if (leaf === 'online') this.#online.delete(robot);
      return;
    }
    try {
      if (leaf === 'online') this.#online.set(robot, parsePresence(payload));
      if (leaf === 'state') this.#states.set(robot, ownState(robot, payload));
    } catch {
      this.#invalid.add(topic); // shown as a number; the robot's own log has the reason
    }
  }

  #takeRelay(topic: string, relay: string, payload: Uint8Array): void {
    this.#relays.delete(relay);
    try {
      if (payload.byteLength > 0) this.#relays.set(relay, parsePresence(payload));
    } catch {
      this.#invalid.add(topic);
    }
  }

  /** Online relays that report a problem. */
  get relayProblems(): { readonly relay: string; readonly problem: RelayProblem }[] {
    return [...this.#relays].flatMap(([relay, { online, problem }]) =>
      online && problem ? [{ relay, problem }] : [],
    );
  }

  /** Topics whose message could not be parsed. */
  get invalid(): readonly string[] {
    return [...this.#invalid].sort();
  }

  /** One row for each component of each robot, by robot id and by name. */
  get rows(): FleetRow[] {
    const states = [...this.#states.values()];
    states.sort((a, b) => (a.robot_id < b.robot_id ? -1 : 1));
    return states.flatMap((state) =>
      byName(state.components).map((component) => ({
        robot: state,
        component,
        ...this.#linkOf(state.robot_id),
      })),
    );
  }

  /** Null for a robot without any retained message. */
  get(robot: string): RobotSeen | null {
    const state = this.#states.get(robot) ?? null;
    if (state === null && !this.#online.has(robot)) return null;
    return { state, ...this.#linkOf(robot) };
  }

  #linkOf(robot: string): Pick<FleetRow, 'online' | 'via' | 'relayProblem'> {
    const said = this.#online.get(robot);
    const via = said?.via ?? null;
    const relay = via === null ? undefined : this.#relays.get(via);
    const relays = { has: () => relay?.online === true };
    const online = said !== undefined && isThere(said, relays);
    return { online, via, relayProblem: (relay?.online && relay.problem) || null };
  }
}

/** The same order at each look, whatever trouble each is in: people compare two tables. */
export const byName = (components: readonly ComponentState[]): ComponentState[] =>
  components.toSorted((a, b) => (a.name < b.name ? -1 : 1));

/** Ids that two robots use, as these report themselves: each ends the link of the other. */
export function twinIds(rows: readonly FleetRow[]): string[] {
  const ids = rows.filter(({ robot }) => robot.link_endings > 0).map(({ robot }) => robot.robot_id);
  return [...new Set(ids)];
}

/** The fleet, from retained reports or from the API of a broker. */
export interface FleetRows {
  readonly rows: readonly FleetRow[];
  /** Names of what could not be read. */
  readonly invalid: readonly string[];
  /** Online relays that report a problem. */
  readonly relayProblems: readonly { readonly relay: string; readonly problem: RelayProblem }[];
}

export interface FleetRow {
  readonly robot: RobotState;
  readonly component: ComponentState;
  readonly online: boolean;
  /** The relay that carries it. */
  readonly via: string | null;
  /** The problem that this relay reports of itself. */
  readonly relayProblem: RelayProblem | null;
}

/** The state is null for a robot that only said that it is there. */
export interface RobotSeen extends Pick<FleetRow, 'online' | 'via' | 'relayProblem'> {
  readonly state: RobotState | null;
}

/** Robots whose clock is far off this machine's, each once, as sentences. */
export function clockProblems(rows: readonly FleetRow[], now: EpochMs): Problem[] {
  const byRobot = new Map(rows.map((row) => [row.robot.robot_id, row]));
  return [...byRobot.values()].flatMap((row) => clockProblemOf(row, now) ?? []);
}

export function clockProblemOf(row: FleetRow, now: EpochMs): Problem | null {
  const { at, robot_id: id } = row.robot;
  return robotClockProblem(id, clockAhead(at - now, row));
}

/** First: with two robots under one id, nothing else in the row is about one robot. */
const twice = ({ robot }: FleetRow): string[] => (robot.link_endings > 0 ? ['ROBOT_ID_TWICE'] : []);

/** Problems of the whole robot; an expired one is the last error of each component. */
const expiring = ({ robot, component }: FleetRow, now: EpochMs): string[] => {
  const { trust_expires_at: trust, certificate_expires_at: certificate } = robot;
  const isTrustTold = trust === undefined || component.last_error?.code === 'TRUST_EXPIRED';
  const certificateCode =
    (certificate ?? 0) <= now ? 'CERTIFICATE_EXPIRED' : 'CERTIFICATE_EXPIRING';
  return [
    ...(isTrustTold ? [] : ['TRUST_EXPIRING']),
    ...(certificate === undefined ? [] : [certificateCode]),
  ];
};

/**
 * Codes of all problems of a row, those of the whole robot first, those of its relay marked. A
 * problem that asks for nothing any more is left out.
 */
export function troubleCodes(row: FleetRow, now: EpochMs): string[] {
  const { relayProblem, component } = row;
  const codes = [
    ...[...twice(row), clockProblemOf(row, now)?.code, ...expiring(row, now)],
    relayProblem && `relay:${relayProblem.code}`,
    isPastProblem(component) ? null : component.last_error?.code,
  ];
  return codes.filter((code): code is string => typeof code === 'string' && code !== '');
}

/** `of 2.0.0, 2026-11-30T07:12Z`: a problem of a release that the robot neither runs nor takes. */
export function whenceOf({ last_error: error, ...component }: ComponentState): string {
  const of = error?.version ?? null;
  if (!error || of === null || isPastProblem({ ...component, last_error: error })) return '';
  if (of === component.version || of === component.target_version) return '';
  const at = error.at === undefined ? '' : `, ${instantText(error.at)}`;
  return `of ${of}${at}`;
}

function ownState(robot: string, payload: Uint8Array): RobotState {
  const state = parseRobotState(payload);
  if (state.robot_id === robot) return state;
  throw new DroverError(
    'JSON_INVALID',
    `read state of ${robot}: other robot (got ${state.robot_id}, want ${robot})`,
  );
}

export interface VersionCount {
  readonly component: string;
  /**
   * Null for robots that have no release of the component yet; `unknown` where it is not reported.
   */
  readonly version: string | null;
  readonly count: number;
  readonly online: number;
}

/** By component, the newest version first. */
export function countVersions(rows: readonly FleetRow[]): VersionCount[] {
  const counts = new Map<string, { -readonly [K in keyof VersionCount]: VersionCount[K] }>();
  for (const { component, online } of rows) {
    const { name } = component;
    const version = versionShown(component);
    const key = JSON.stringify([name, version]);
    const entry = counts.get(key) ?? { component: name, version, count: 0, online: 0 };
    entry.count += 1;
    if (online) entry.online += 1;
    counts.set(key, entry);
  }
  return [...counts.values()].sort(byComponentThenNewest);
}

function byComponentThenNewest(a: VersionCount, b: VersionCount): number {
  if (a.component !== b.component) return a.component < b.component ? -1 : 1;
  if (a.version === null || b.version === null) return a.version === null ? 1 : -1;
  if (a.version === UNKNOWN || b.version === UNKNOWN) return a.version === UNKNOWN ? 1 : -1;
  // Versions that differ only in build metadata are equal by precedence: the order stays stable.
  return compareVersions(b.version, a.version) || (a.version < b.version ? -1 : 1);
}

/**
 * Robots that refused a bundle as too new: they need a full package or another rollout in between.
 */
export function packageRequests(rows: readonly FleetRow[]): FleetRow[] {
  return rows.filter(({ component }) => component.last_error?.code === 'TOO_OLD');
}

/** Robots that take it and lack a capability that it needs. */
export function unableOf(
  capability: string,
  states: readonly RobotState[],
  { takes, steps }: Readonly<Record<'takes' | 'steps', readonly string[]>>,
): string[] {
  const unasked = states.filter(({ caps }) => !caps.includes(capability));
  return unasked
    .map(({ robot_id: id }) => id as string)
    .filter((id) => [...takes, ...steps].includes(id));
}

/** Each architecture of these robots once. */
export function archsOf(states: readonly RobotState[], ids: readonly string[]): string[] {
  const found = states.filter(({ robot_id: id, arch }) => arch !== '' && ids.includes(id));
  return [...new Set(found.map(({ arch }) => arch))].sort();
}

/** How a table gets narrower than its cells. */
export interface Narrowing {
  /** Heads of columns that are cut last: a version that is cut says nothing. */
  readonly whole?: readonly string[];
  /** Heads of columns that a narrow terminal does without, the first one first. */
  readonly spare?: readonly string[];
}

/**
 * Pads columns to the widest cell, two spaces apart; the first row is the head. Texts of robots and
 * brokers are made printable here, so that none of them steers a terminal.
 * @param columns of the terminal: columns without a cell go, then spare ones, then the widest are
 *   cut until a row fits; Infinity for a pipe, which gets all
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  columns = Number.POSITIVE_INFINITY,
  { whole = [], spare = [] }: Narrowing = {},
): string[] {
  const all = rows.map((row) => row.map((cell) => printable(cell, cell.length)));
  const [heads = []] = all;
  const widthOf = (at: number): number => Math.max(...all.map((row) => (row[at] ?? '').length));
  const widths = heads.map((_, at) => widthOf(at));
  const isWhole = heads.map((head) => whole.includes(head));
  const least = (at: number): number =>
    isWhole[at] === true ? (widths[at] ?? 0) : Math.min(widths[at] ?? 0, READABLE_CHARS);
  const isEmpty = (at: number): boolean => all.slice(1).every((row) => (row[at] ?? '') === '');
  let shown = heads.map((_, at) => at);
  const rowOf = (width: (at: number) => number): number =>
    shown.reduce((sum, at) => sum + width(at), GAP.length * (shown.length - 1));
  if (rowOf((at) => widths[at] ?? 0) > columns && all.length > 1)
    shown = shown.filter((at) => !isEmpty(at) || heads[at] === '');
  for (const head of spare) {
    if (rowOf(least) <= columns) break;
    shown = shown.filter((at) => heads[at] !== head);
  }
  const kept = shown.map((at) => widths[at] ?? 0);
  const room = columns - GAP.length * (shown.length - 1);
  const isCutLast = shown.map((at) => isWhole[at] === true);
  cutWidest(kept, room, (at) => isCutLast[at] !== true);
  cutWidest(kept, room, () => true);
  return all.map((row) =>
    shown
      .map((column, at) => fitCell(row[column] ?? '', kept[at] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
}

const GAP = '  ';
/** A narrower cell would not say which robot or version it is about. */
const CELL_CHARS_MIN = 8;
/** Spare columns go before another one is cut to less: `HEALTH_FAILED` fits. */
const READABLE_CHARS = 16;

function cutWidest(widths: number[], room: number, mayCut: (at: number) => boolean): void {
  let left = widths.reduce((sum, width) => sum + width, 0) - room;
  while (left > 0) {
    const widest = Math.max(...widths.filter((_, at) => mayCut(at)));
    if (widest <= CELL_CHARS_MIN) return;
    widths[widths.findIndex((width, at) => width === widest && mayCut(at))] = widest - 1;
    left -= 1;
  }
}

const fitCell = (cell: string, width: number): string =>
  cell.length > width ? `${cell.slice(0, width - 1)}…` : cell.padEnd(width);
