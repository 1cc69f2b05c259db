/**
 * The invariant, read from the disk alone: at every instant `active` leads to a complete release
 * that is the old or the new one. The state file narrows it down further: before the swap
 * it must be the old one, on probation the new one.
 */

import { existsSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { layoutOf, versionOfLink } from '../../robot-client/install/layout.ts';
import {
  freshState,
  parseMachineState,
  type MachineState,
} from '../../robot-client/update/state.ts';
import type { RobotPhase } from '../../shared/formats/messages.ts';
import { treeHash, type AppVersion } from './versions.ts';

/** Null when nothing was installed before. */
export interface Update {
  readonly from: AppVersion | null;
  readonly to: AppVersion;
}

export interface BootCheck {
  /** The version that would boot; null for nothing. */
  readonly version: string | null;
  readonly state: MachineState;
  /** Faults that were found; empty when the invariant holds. */
  readonly violations: readonly string[];
}

const BEFORE_SWAP: readonly RobotPhase[] = [
  'checking',
  'downloading',
  'verifying',
  'staging',
  'waiting',
];

export async function readStateFile(root: string): Promise<MachineState> {
  const { machineFile } = layoutOf(root);
  return existsSync(machineFile) ? parseMachineState(await readFile(machineFile)) : freshState();
}

// Both search the text of the state file alone: they are called every few milliseconds.

export async function isInPhase(
  root: string,
  phase: RobotPhase,
  version: string,
): Promise<boolean> {
  const text = await readStateText(root);
  return text.includes(`"phase":"${phase}"`) && text.includes(`"version":"${version}","manifest"`);
}

export async function isIdle(root: string): Promise<boolean> {
  return (await readStateText(root)).includes('"phase":"idle"');
}

async function readStateText(root: string): Promise<string> {
  const { machineFile } = layoutOf(root);
  return existsSync(machineFile) ? await readFile(machineFile, 'utf8') : '';
}

/** The version that `active` names, whatever is there; null for no link. */
export async function readActive(root: string): Promise<string | null> {
  try {
    return versionOfLink(await readlink(layoutOf(root).active));
  } catch {
    return null; // no link, as before a first install
  }
}

/** Nothing may be writing under `root` while this reads. */
export async function checkBoot(root: string, update: Update): Promise<BootCheck> {
  const violations: string[] = [];
  let state = freshState();
  try {
    state = await readStateFile(root);
  } catch (error) {
    violations.push(`the state file cannot be read: ${String(error)}`);
  }
  const layout = layoutOf(root);
  const version = await checkLink(layout.active, update, violations);
  if (existsSync(layout.rollback)) await checkLink(layout.rollback, update, violations, true);
  const old = update.from?.version ?? null;
  const { phase, job } = state;
  if (version !== old && version !== update.to.version) {
    violations.push(`active is ${version}, neither ${old} nor ${update.to.version}`);
  }
  if (job?.version === update.to.version) {
    if (BEFORE_SWAP.includes(phase) && version !== old) {
      violations.push(`active is ${version} in phase ${phase}, want ${old}`);
    }
    if (phase === 'probation' && version !== job.version) {
      violations.push(`active is ${version} in phase probation, want ${job.version}`);
    }
  }
  return { version, state, violations };
}

/** The version that a link leads to, after a check of every byte of it. */
async function checkLink(
  link: string,
  update: Update,
  violations: string[],
  isAnyVersion = false,
): Promise<string | null> {
  let target: string;
  try {
    target = await readlink(link);
  } catch {
    return null; // nothing there: the caller knows whether that may be
  }
  const version = target.replace(/^releases\//, '');
  const built = [update.from, update.to].find((one) => one?.version === version);
  if (!built) {
    if (!isAnyVersion) violations.push(`${link} leads to ${target}, which is not of this update`);
    else if (!existsSync(join(link, '..', target))) violations.push(`${link} leads to nothing`);
    return version;
  }
  try {
    const hash = treeHash(join(link, '..', target));
    if (hash !== built.treeHash)
      violations.push(`${link}: release ${version} is not what was built`);
  } catch (error) {
    violations.push(`${link}: release ${version} cannot be read: ${String(error)}`);
  }
  return version;
}
