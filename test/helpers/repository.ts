/** Finds files of the repository from compiled code, wherever that was put. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The nearest folder above `from` that holds package.json. */
export function findRepository(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from;
  const above = dirname(from);
  if (above === from) throw new TypeError('findRepository: no package.json above this file');
  return findRepository(above);
}

export function repositoryFile(path: string): string {
  return join(findRepository(dirname(fileURLToPath(import.meta.url))), path);
}
