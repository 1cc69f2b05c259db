/** Real folders on the real disk, removed when the test is over. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scope } from './scope.ts';

async function makeFolder(): Promise<string> {
  return await mkdtemp(join(tmpdir(), 'drover-test-'));
}

async function removeFolder(folder: string): Promise<void> {
  // A program that is still on its way out may add a file while the folder is being emptied.
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

/** A fresh folder that lives as long as the test. */
export async function tempFolder(scope: Scope): Promise<string> {
  const folder = await makeFolder();
  scope.after(() => removeFolder(folder));
  return folder;
}

/** A fresh folder that lives as long as `run`: for property tests, which make many. */
export async function withTempFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = await makeFolder();
  try {
    return await run(folder);
  } finally {
    await removeFolder(folder);
  }
}
