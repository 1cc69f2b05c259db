/** A folder of the memory, for files that need a real file system but not a disk. */

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scope } from '../helpers/scope.ts';

const SHARED_MEMORY = '/dev/shm';

export async function folderInMemory(scope: Scope): Promise<string> {
  const above = existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir();
  const folder = await mkdtemp(join(above, 'drover-fuzz-'));
  scope.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
