/** Reads the robot's command line, files and environment into typed options. */

import { isUtf8 } from 'node:buffer';
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { canonicalArch } from '../../shared/rules/rollout-rules.ts';
import { formatDurationMs, parseDurationMs } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { parseComponentName } from '../../shared/base/ids.ts';
import { printable } from '../../shared/base/printable.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { isVersion } from '../../shared/base/version.ts';
import { ALWAYS_OPEN, type InterlockRules } from '../local/interlock.ts';
import type { AfterSwitch } from '../local/ready-lease.ts';
import { layoutOf } from '../install/layout.ts';
import type { ComponentRoot } from './given-roots.ts';
import { parseWindow, localTimeOf, wallClockOf } from '../local/windows.ts';

/** `DIR` is the component `app`; `NAME=DIR` names another. */
export function parseRoots(roots: readonly string[]): ComponentRoot[] {
  const parsed = roots.map((text) => {
    const at = text.indexOf('=');
    const component = at < 0 ? 'app' : text.slice(0, at);
    const root = resolve(at < 0 ? text : text.slice(at + 1));
    assertSpelled(root);
    return { component: parseComponentName(component), root };
  });
  for (const key of ['component', 'root'] as const) {
    if (new Set(parsed.map((one) => one[key])).size === parsed.length) continue;
    const [got] = parsed.map((one) => one[key]).filter((one, nth, all) => all.indexOf(one) !== nth);
    const want = key === 'component' ? ': name each component, --root NAME=DIR' : '';
    throw new DroverError(
      'USAGE',
      `read --root: the same ${key} is given twice (got ${got})${want}`,
    );
  }
  return parsed;
}

/**
 * Node cannot give back a path with bytes that are not UTF-8: each name below it would be absent,
 * and what runs would count as lost.
 * @throws DroverError ROOT_NOT_UTF8
 */
function assertSpelled(root: string): void {
  for (let path = root; ; path = dirname(path)) {
    const real = nullIfAbsent(path);
    if (real === null && path !== dirname(path)) continue;
    if (!root.includes('\uFFFD') && (real === null || isUtf8(real))) return;
    const message = `open root ${root}: a folder in its path has a name that is not UTF-8`;
    throw new DroverError('ROOT_NOT_UTF8', message);
  }
}

/** Without links; null for a path that is not there yet, or cannot be read. */
function nullIfAbsent(path: string): Buffer | null {
  try {
    return realpathSync.native(path, 'buffer');
  } catch {
    return null;
  }
}

/** Only the agent creates a root: for any other command a missing path is a typing error. */
export const rootAbsent = (what: string, root: string): DroverError =>
  new DroverError('ROOT_ABSENT', `${what} ${root}: there is no such folder`);

export function parseTags(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(',')).filter((tag) => tag !== '');
}

/** Time-out of one run of a hook, in milliseconds. */
export function parseHookTimeout(text: string): number {
  const timeoutMs = parseDurationMs(text);
  if (timeoutMs > 0 && timeoutMs <= LIMITS.hookTimeoutMsMax) return timeoutMs;
  const most = formatDurationMs(LIMITS.hookTimeoutMsMax);
  throw new DroverError('USAGE', `read --hook-timeout: want more than 0 and at most ${most}`);
}

/** Whole seconds, as MQTT counts them. */
export function parseKeepalive(text: string): number {
  const seconds = Math.round(parseDurationMs(text) / 1000);
  if (seconds >= 1 && seconds <= LIMITS.keepaliveSMax) return seconds;
  throw new DroverError('USAGE', `read --keepalive: want 1s to ${LIMITS.keepaliveSMax}s`);
}

/** When the site allows the robot to be taken out of service. */
export function parseInterlock(given: {
  windows: readonly string[];
  zone: string | undefined;
  readyDeadline: string | undefined;
  leaseLostAfterSwitch?: AfterSwitch;
}): InterlockRules {
  const { windows, zone, readyDeadline, leaseLostAfterSwitch = 'stay' } = given;
  if (windows.length > LIMITS.windowsMax) {
    const counts = `(got ${windows.length}, want at most ${LIMITS.windowsMax})`;
    throw new DroverError('USAGE', `read --window: too many ${counts}`);
  }
  const readyDeadlineMs = readyDeadline === undefined ? null : parseDurationMs(readyDeadline);
  if (readyDeadlineMs === 0) {
    throw new DroverError('USAGE', 'read --ready-deadline: want more than 0, or leave it out');
  }
  return {
    ...ALWAYS_OPEN,
    readyDeadlineMs,
    leaseLostAfterSwitch,
    localTime: localTimeOf(zone),
    ...(windows.length > 0 && { windows: windows.map(parseWindow), wallClock: wallClockOf(zone) }),
  };
}

export function parseAdoptVersion(text: string): string {
  if (isVersion(text)) return text;
  throw new DroverError('USAGE', `read --adopt-version: not a version (got ${text}, want 1.2.3)`);
}

/** Version of a release on this robot. */
export function parseRelease(text: string): string {
  if (isVersion(text)) return text;
  throw new DroverError('USAGE', `read --release: not a version (got ${text}, want 1.2.3)`);
}

export function defaultArch(): string {
  return canonicalArch(process.arch);
}

/** Socket beside the state of the first component, unless `--socket` names another. */
export function socketPathOf(roots: readonly ComponentRoot[], given: string | undefined): string {
  const [first] = roots;
  if (!first) throw new DroverError('USAGE', 'find the agent: give --root or --socket');
  return resolve(given ?? `${layoutOf(first.root).state}/agent.sock`);
}

/** Sockets beside the state of the other components, which answer as well; none with `--socket`. */
export function spareSocketsOf(
  roots: readonly ComponentRoot[],
  given: string | undefined,
): string[] {
  if (given !== undefined) return [];
  const paths = roots.slice(1).map(({ root }) => `${layoutOf(root).state}/agent.sock`);
  return paths.filter((path) => Buffer.byteLength(path) <= LIMITS.socketPathBytesMax);
}

/** Model for reports. */
export function parseModel(text: string): string {
  if (text !== '' && text.length <= LIMITS.modelCharsMax && printable(text) === text) return text;
  const want = `1 to ${LIMITS.modelCharsMax} printable characters`;
  throw new DroverError('USAGE', `read --model: not a model (want ${want})`);
}

/** `unknown` on machines that do not report it. */
export function machineModel(): string {
  try {
    const text = readFileSync('/proc/device-tree/model', 'utf8');
    return text.replaceAll('\0', '').slice(0, LIMITS.modelCharsMax);
  } catch {
    return 'unknown'; // PCs have no device tree; nothing depends on a model
  }
}
