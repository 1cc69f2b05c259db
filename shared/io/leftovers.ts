/**
 * Removes unfinished output of a command when a signal ends it: Ctrl-C, or a build server that
 * gives up, leaves neither hidden folders of gigabytes nor half a file. The program still ends by
 * that signal, as a shell expects.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LIMITS } from '../base/limits.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const halfMade = new Set<string>();

/** @returns to be called when it is whole, or was removed */
export function removedOnSignal(path: string): () => void {
  if (halfMade.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  halfMade.add(path);
  return () => {
    halfMade.delete(path);
    if (halfMade.size === 0) for (const signal of SIGNALS) process.off(signal, onSignal);
  };
}

function onSignal(signal: NodeJS.Signals): void {
  // As the user that began it: root may work as the owner of a data folder.
  if (process.getuid?.() === 0) process.seteuid?.(0);
  for (const path of halfMade) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // A child still writes into it, or its disk is gone: the signal should end the process at
      // once.
    }
  }
  for (const one of SIGNALS) process.off(one, onSignal);
  // Another listener of this signal ends the program in its own way.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

export interface TempFolder {
  readonly path: string;
  /** It has another name now. */
  keep(): void;
  remove(): Promise<void>;
}

/** Synchronous, so that no signal comes between its creation and its registration. */
export function makeTempFolder(prefix: string): TempFolder {
  const path = mkdtempSync(prefix);
  const keep = removedOnSignal(path);
  const remove = async (): Promise<void> => {
    await rm(path, { recursive: true, force: true });
    keep();
  };
  return { path, keep, remove };
}

/** Removes folders with this prefix that a kill or a power cut left more than a day ago. */
export async function removeLeftovers(prefix: string): Promise<void> {
  const folder = dirname(prefix);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(basename(prefix))) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => null); // its owner has removed it
    const isOld = found !== null && Date.now() - found.mtimeMs > LIMITS.leftoverMsMin;
    if (isOld) await rm(path, { recursive: true, force: true });
  }
}
