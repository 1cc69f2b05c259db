/** The robot's command line as typed options: what is read from argv, files and environment. */

import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { canonicalArch } from '../shared/arch.ts';
import { formatDurationMs, parseDurationMs } from '../shared/durations.ts';
import { DroverError } from '../shared/errors.ts';
import { parseComponentName } from '../shared/ids.ts';
import { readInput } from '../shared/io/cli.ts';
import { parseByteSize } from '../shared/byte-sizes.ts';
import { LIMITS } from '../shared/limits.ts';
import { isVersion } from '../shared/version.ts';
import { layoutOf } from './core/layout.ts';

export interface ComponentRoot {
  readonly component: string;
  readonly root: string;
}

/** `DIR` is the component `app`; `NAME=DIR` names another. */
export function parseRoots(roots: readonly string[]): ComponentRoot[] {
  const parsed = roots.map((text) => {
    const at = text.indexOf('=');
    const component = at < 0 ? 'app' : text.slice(0, at);
    const root = resolve(at < 0 ? text : text.slice(at + 1));
    return { component: parseComponentName(component), root };
  });
  for (const key of ['component', 'root'] as const) {
    if (new Set(parsed.map((one) => one[key])).size === parsed.length) continue;
    throw new DroverError('USAGE', `read --root: the same ${key} is given twice`);
  }
  return parsed;
}

export function parseTags(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(',')).filter((tag) => tag !== '');
}

/** Bytes per second, null for no bound. */
export function parseRate(text: string | undefined): number | null {
  if (text === undefined) return null;
  const rate = parseByteSize(text);
  if (rate > 0) return rate;
  throw new DroverError('USAGE', 'read --max-rate: want more than 0 bytes per second');
}

/** Milliseconds that one run of a hook may take. */
export function parseHookTimeout(text: string): number {
  const timeoutMs = parseDurationMs(text);
  if (timeoutMs > 0 && timeoutMs <= LIMITS.hookTimeoutMsMax) return timeoutMs;
  const most = formatDurationMs(LIMITS.hookTimeoutMsMax);
  throw new DroverError('USAGE', `read --hook-timeout: want more than 0 and at most ${most}`);
}

export function parseAdoptVersion(text: string): string {
  if (isVersion(text)) return text;
  throw new DroverError('USAGE', `read --adopt-version: not a version (got ${text}, want 1.2.3)`);
}

export function defaultArch(): string {
  return canonicalArch(process.arch);
}

/** Socket beside the state of the first component, unless told otherwise. */
export function socketPathOf(roots: readonly ComponentRoot[], given: string | undefined): string {
  if (given !== undefined) return isAbsolute(given) ? given : resolve(given);
  const [first] = roots;
  if (!first) throw new DroverError('USAGE', 'find the agent: give --root or --socket');
  return `${layoutOf(first.root).state}/agent.sock`;
}

/** A password never stands on a command line, where every user of the machine can read it. */
export function readPassword(file: string | undefined): string | undefined {
  const fromEnvironment = process.env['DROVER_PASSWORD'];
  if (file === undefined) return fromEnvironment;
  return new TextDecoder().decode(readInput(file, 'password file')).replace(/\r?\n$/, '');
}

/** `unknown` on machines that do not say. */
export function machineModel(): string {
  try {
    const text = readFileSync('/proc/device-tree/model', 'utf8');
    return text.replaceAll('\0', '').slice(0, 64);
  } catch {
    return 'unknown'; // PCs have no device tree; a model is a convenience, not a fact to fail on
  }
}
