/** Releases of real programs, as application folders: packages of npm, fetched by npm itself. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { measureFamily } from './family.ts';

/** @returns the folder with what the package contains */
export async function fetchPackage(home: string, name: string, version: string): Promise<string> {
  const folder = join(home, `${name.replace('/', '-')}-${version}`);
  await mkdir(folder, { recursive: true });
  const pack = ['pack', '--silent', '--pack-destination', folder, `${name}@${version}`];
  await measureFamily('npm', pack, { cwd: folder });
  const file = `${name.replace('@', '').replace('/', '-')}-${version}.tgz`;
  await measureFamily('tar', ['-xzf', join(folder, file), '-C', folder]);
  return join(folder, 'package');
}
