/**
 * The independent checker: of a root it reads only where `active` leads and every byte below that,
 * and says which of the known trees it is. It knows nothing of Drover's files.
 */

import { lstat, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { treeHash, type AppVersion } from './versions.ts';

export interface Boots {
  /** Null when nothing boots, or nothing that is known. */
  readonly app: AppVersion | null;
  /** Why no known tree boots; null when one does. */
  readonly problem: string | null;
}

/** Nothing may be writing under `root` while this reads. */
export async function whatBoots(root: string, known: readonly AppVersion[]): Promise<Boots> {
  const active = join(root, 'active');
  try {
    await lstat(active);
  } catch {
    return { app: null, problem: 'active is missing' };
  }
  try {
    const folder = await realpath(active);
    const hash = treeHash(folder);
    const app = known.find((one) => one.treeHash === hash) ?? null;
    const problem = app === null ? `${folder} is no tree that was built` : null;
    return { app, problem };
  } catch (error) {
    return { app: null, problem: `active cannot be read: ${String(error)}` };
  }
}

/** The fault of the tree that boots; null when it is one of `may`. */
export async function bootProblem(
  root: string,
  known: readonly AppVersion[],
  may: readonly string[],
): Promise<string | null> {
  const { app, problem } = await whatBoots(root, known);
  if (app === null) return problem;
  return may.includes(app.version) ? null : `${app.version} boots, want ${may.join(' or ')}`;
}
