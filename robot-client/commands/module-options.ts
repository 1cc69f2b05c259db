/** Options about the machine and its modules: what is read from argv and files. */

import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { formatDurationMs, parseDurationMs } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { printable } from '../../shared/base/printable.ts';
import { isMachineName, isModuleName } from '../../shared/formats/apply-strategy.ts';
import { readInput } from '../../shared/io/cli.ts';
import { fitnessOf, isRunnable } from '../install/program-fitness.ts';
import { HOOK_NAMES } from '../install/safe-paths.ts';
import { ModuleFolder, NO_MODULES, type Modules } from '../modules/module-folder.ts';
import { DEFAULT_HOOKS } from './declare-options.ts';

/** The folder may come later, with its disk: it is read again with each heartbeat. */
export async function readModules(folder: string | undefined, log: Log): Promise<Modules> {
  if (folder === undefined) return NO_MODULES;
  const modules = new ModuleFolder(resolve(folder));
  await modules.look();
  const found = await readdir(resolve(folder)).catch(() => []);
  await warnOfNames(found, { folder, option: '--modules', isOne: isModuleName }, log);
  if (modules.names.length === 0) log.warn({ folder }, 'no module in the folder of --modules');
  return modules;
}

/** Without `health` and `start` nothing shows that a version is bad. The folder may come later. */
export async function warnOfHooks(folder: string, log: Log): Promise<void> {
  if (folder === DEFAULT_HOOKS) return; // nobody named it: a robot may do without
  const found = await readdir(resolve(folder)).catch(() => null);
  await warnOfNames(found ?? [], { folder, option: '--hooks', isOne: isHookName }, log);
  if (found?.some((one) => HOOK_NAMES.some((name) => name === one))) return;
  if (found === null && (await fitnessOf(`${resolve(folder)}/health`)).kind === 'unfit') {
    return log.warn({ folder }, '--hooks is no folder: each hook fails, and nothing is updated');
  }
  const why = found === null ? 'there is no folder of --hooks' : 'no hook in the folder of --hooks';
  log.warn({ folder }, `${why}: every version is confirmed without health`);
}

const isHookName = (name: string): boolean => HOOK_NAMES.some((one) => one === name);

interface Named {
  readonly folder: string;
  readonly option: string;
  isOne(name: string): boolean;
}

/**
 * Warns of a program that is not run because of the spelling of its name: with capitals, an
 * underscore or an ending. With `Health` in place of `health` every version would be confirmed.
 */
async function warnOfNames(found: readonly string[], named: Named, log: Log): Promise<void> {
  const { folder, option, isOne } = named;
  for (const name of found) {
    const want = name
      .toLowerCase()
      .replaceAll('_', '-')
      .replace(/\.[a-z0-9]+$/, '');
    if (isOne(name) || !isOne(want) || found.includes(want)) continue;
    if (!(await isRunnable(resolve(folder, name)))) continue;
    const facts = { file: `${folder}/${printable(name)}`, want };
    log.warn(facts, `a file of ${option} is not run: its name is spelled in another way`);
  }
}

/** Milliseconds that one run of a module may take. */
export function parseModuleTimeout(text: string): number {
  const timeoutMs = parseDurationMs(text);
  if (timeoutMs > 0 && timeoutMs <= LIMITS.moduleTimeoutMsMax) return timeoutMs;
  const most = formatDurationMs(LIMITS.moduleTimeoutMsMax);
  throw new DroverError('USAGE', `read --module-timeout: want more than 0 and at most ${most}`);
}

/**
 * Names of this machine: those of the command line, and of a file with one a line or, as a device
 * tree has them, with a zero byte behind each.
 */
export function readMachineNames(given: readonly string[], file: string | undefined): string[] {
  const bytes = file && readInput(file, '--compatible-file', LIMITS.machineFileBytesMax);
  const text = bytes ? new TextDecoder().decode(bytes) : '';
  const found = text.split(/[\0\r\n]/).map((one) => one.trim());
  const names = [...new Set([...given, ...found.filter((one) => one !== '')])];
  const wrong = names.find((one) => !isMachineName(one));
  if (wrong !== undefined) {
    throw new DroverError('USAGE', `read --compatible: "${wrong}" is no name of a machine`);
  }
  return names.slice(0, LIMITS.machineNamesMax);
}
