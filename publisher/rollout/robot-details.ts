/**
 * One robot in detail, from retained messages or from the HTTP API, as lines for one screen. Texts
 * of robots and relays are made printable here, and only here. Sans-I/O.
 */

import { formatBytes } from '../../shared/base/byte-sizes.ts';
import { CATALOGUE } from '../../shared/base/error-catalogue.ts';
import { isErrorCode, type HintWords, filledHint } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { oneLine } from '../../shared/base/printable.ts';
import type { ComponentState, RelayProblem, RobotState } from '../../shared/formats/messages.ts';
import { shortly, instantText, withInstants } from '../../shared/base/durations.ts';
import { doubtTold } from '../../shared/rules/running-version.ts';
import { isPastProblem, worstFirst } from '../../shared/rules/worst-component.ts';

/** A problem from a report: this program may not know its code. */
type Told = RelayProblem;

/** A rollout that the robot is in. */
export interface RobotRollout {
  readonly id: string;
  readonly component: string;
  readonly version: string;
  /** Its state as the broker says, or how the robot will react to it. */
  readonly says: string;
}

export interface RobotEventLine {
  readonly at: string;
  readonly text: string;
}

export interface RobotDetails {
  readonly id: string;
  /** Null for a robot that connected and has not reported what it runs. */
  readonly state: RobotState | null;
  readonly online: boolean;
  /** The relay that carries it. */
  readonly via: string | null;
  /** When the broker got its last message; null where that is not known. */
  readonly lastSeenMs: EpochMs | null;
  /** Problems of the whole robot or of its relay. */
  readonly problems: readonly Told[];
  /** Null when what is announced cannot be read here. */
  readonly rollouts: readonly RobotRollout[] | null;
  /** The newest last; null where they are not kept. */
  readonly events: readonly RobotEventLine[] | null;
}

const TEXT_CHARS_MAX = 400;
const say = (text: string): string => oneLine(text, TEXT_CHARS_MAX);
const line = (label: string, text: string): string => `${label.padEnd(10)}${say(text)}`;

export function robotLines(robot: RobotDetails, now: EpochMs): string[] {
  const { state, problems } = robot;
  return [
    line('robot', `${robot.id}, ${linkText(robot)}`),
    ...seenLines(robot, now),
    ...(state ? machineLines(state) : ['it has not reported what it runs']),
    ...problems.flatMap((one) => problemLines('problem', one)),
    ...worstFirst(state?.components ?? []).flatMap((one) => componentLines(one, now)),
    ...rolloutLines(robot.rollouts),
    ...eventLines(robot.events),
  ];
}

function linkText({ online, via }: RobotDetails): string {
  const how = via === null ? '' : ` through relay ${via}`;
  return `${online ? 'online' : 'offline'}${how}`;
}

function seenLines({ lastSeenMs, state }: RobotDetails, now: EpochMs): string[] {
  const ago = (ms: number): string =>
    ms <= now ? `${shortly(now - ms)} ago` : `${shortly(ms - now)} ahead of the clock here`;
  return [
    ...(lastSeenMs === null
      ? []
      : [line('last seen', `${instantText(lastSeenMs)}, ${ago(lastSeenMs)}`)]),
    ...(state ? [line('reported', `${instantText(state.at)} by its clock, ${ago(state.at)}`)] : []),
  ];
}

function machineLines(state: RobotState): string[] {
  const { agent, arch, model, tags, compatible = [], modules = [], metrics } = state;
  const parts = [model, arch, ...compatible].filter((one) => one !== '' && one !== 'unknown');
  const measured = Object.entries(metrics).map(([name, value]) => `${name}=${value}`);
  return [
    line('agent', agent === '' ? 'unknown' : agent),
    line('machine', parts.length === 0 ? 'unknown' : [...new Set(parts)].join(', ')),
    ...(tags.length > 0 ? [line('tags', tags.join(', '))] : []),
    ...(modules.length > 0 ? [line('modules', modules.join(', '))] : []),
    ...trustLines(state),
    ...certificateLines(state),
    ...(measured.length > 0 ? [line('measures', measured.join(', '))] : []),
  ];
}

/** A robot reports the end of its trust.json only when that is close. */
function trustLines({ trust_version: version, trust_expires_at: endMs }: RobotState): string[] {
  if (version === undefined) return [];
  const end = endMs === undefined ? '' : `, ends at ${instantText(endMs)}`;
  return [line('trust', `trust.json ${version}${end}`)];
}

/** A robot reports the end of its certificate only when the certificate was not renewed. */
function certificateLines({ certificate_expires_at: endMs }: RobotState): string[] {
  return endMs === undefined
    ? []
    : [line('certificate', `ends at ${instantText(endMs)}, and was not renewed`)];
}

function problemLines(label: string, { code, message, hint }: Told, words: HintWords = {}) {
  const known = isErrorCode(code) ? CATALOGUE[code].hint : '';
  // After SET_FAILED the version to unblock is that of another component.
  const best = filledHint(hint === '' ? known : hint, code === 'SET_FAILED' ? {} : words);
  return [line(label, `${message} (${code})`), ...(best === '' ? [] : [line('', `hint: ${best}`)])];
}

function componentLines(component: ComponentState, now: EpochMs): string[] {
  const { name, version, previous_version: before, last_error: failure } = component;
  const runs =
    doubtTold(component) === null
      ? (version ?? 'not installed')
      : `unknown (active names ${version ?? 'nothing'})`;
  const was = before == null ? '' : `, before it ${before}`;
  const where = component.computer == null ? '' : ` on computer ${component.computer}`;
  const words = { ...(failure?.version != null && { VERSION: failure.version }) };
  const isPast = isPastProblem(component);
  return [
    line('component', `${name} ${runs}${was}${where}: ${doing(component)}`),
    ...waitLines(component, now),
    ...(failure ? problemLines(isPast ? '  earlier' : '  problem', failure, words) : []),
    ...(failure?.at === undefined
      ? []
      : [line('', `${isPast ? 'at' : 'since'} ${instantText(failure.at)}`)]),
    ...lastUpdateLines(component),
    ...(component.log_folder == null
      ? []
      : [line('  log', `${component.log_folder}${where === '' ? '' : `,${where}`}`)]),
    ...(component.blocked.length > 0 ? [line('  blocked', component.blocked.join(', '))] : []),
  ];
}

/** `downloading 1.5.0 40 %`; the phase alone for a component that rests. */
export function doing({ phase, target_version: target, transfer }: ComponentState): string {
  if (phase === 'idle' || target == null) return phase;
  if (phase !== 'downloading' || !transfer || transfer.bytes_total === 0) {
    return `${phase} ${target}`;
  }
  const percent = Math.floor((transfer.bytes_done / transfer.bytes_total) * 100);
  return `${phase} ${target} ${percent}%`;
}

function waitLines({ waiting_for: waits, wake_at: wakeMs }: ComponentState, now: EpochMs) {
  const until = wakeMs == null || wakeMs < now ? '' : `, until ${instantText(wakeMs)}`;
  if (waits != null && waits !== '') return [line('  waits', `for ${waits}${until}`)];
  return until === '' ? [] : [line('  waits', until.slice(2))];
}

/** A report has whole seconds, and an update that took none has still taken some time. */
const spanOf = (seconds: number): string =>
  seconds < 1 ? 'less than 1 s' : `${Math.round(seconds)} s`;

function lastUpdateLines({ last_update: last }: ComponentState): string[] {
  if (!last) return [];
  const { version, outcome, code, rollout, ended_at: endMs, bytes, delta_from: from } = last;
  const why = code == null ? '' : ` (${code})`;
  const size = formatBytes(bytes);
  const inFull = last.delta_failed == null ? size : `${size} in full (${last.delta_failed})`;
  const how = from == null ? inFull : `${size} as a delta from ${from}`;
  const when = `${instantText(endMs)}, took ${spanOf(last.took_s)}, ${how}`;
  return [line('  update', `${version} ${outcome}${why} by ${rollout} at ${when}`)];
}

function rolloutLines(rollouts: RobotDetails['rollouts']): string[] {
  if (rollouts === null) return [line('rollouts', 'not known: what is announced cannot be read')];
  if (rollouts.length === 0) return [line('rollouts', 'none that is announced is for it')];
  return rollouts.map(({ id, component, version, says }) =>
    line('rollout', `${id}: ${component} ${version}, ${says}`),
  );
}

function eventLines(events: RobotDetails['events']): string[] {
  if (events === null || events.length === 0) return [];
  const newest = events.slice(-LIMITS.robotEventsShown);
  return ['events', ...newest.map(({ at, text }) => `  ${say(at)}  ${say(text)}`)];
}

/** The robot for `--json`. */
export function robotFields(robot: RobotDetails): object {
  const { id, online, via, lastSeenMs, state, problems, rollouts, events } = robot;
  const seen = lastSeenMs === null ? null : instantText(lastSeenMs);
  return {
    ...{ robot_id: id, online, via, last_seen: seen },
    reported_at: state ? instantText(state.at) : null,
    ...{ state: withInstants(state), problems, rollouts, events },
  };
}
