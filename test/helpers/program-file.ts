/** The file of each program, as people start it: the one that `npm run build` bundles. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUNDLED } from '../../packaging/bundled.ts';

export type DroverProgram = keyof typeof BUNDLED;

const BUILT = fileURLToPath(new URL('../..', import.meta.url));
const found = new Map<DroverProgram, string>();

/** After a mere `tsc` the bundle is older than what it was made from, and that is taken instead. */
export function programFile(program: DroverProgram): string {
  const known = found.get(program);
  if (known !== undefined) return known;
  const bundle = join(BUILT, `${BUNDLED[program]}.js`);
  const madeMs = timeOf(bundle);
  const isStale = [program, 'shared'].some((folder) => newestOf(folder) > madeMs);
  const file = isStale ? join(BUILT, program, 'main.js') : bundle;
  found.set(program, file);
  return file;
}

const timeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

const newestOf = (folder: string): number =>
  readdirSync(join(BUILT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js'))
    .reduce((newest, name) => Math.max(newest, timeOf(join(BUILT, folder, name))), 0);
