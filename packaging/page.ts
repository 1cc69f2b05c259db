/**
 * Builds the page of the broker (broker/http/dashboard/) into `dist/page/`: its modules as one
 * script, and its markup, style and icon as they are.
 */

import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const FILES = ['page.html', 'page.css', 'page.svg'] as const;

/**
 * @param top folder of the sources
 * @param dist folder of the build
 */
export async function buildPage(top: string, dist: string): Promise<void> {
  const source = join(top, 'broker/http/dashboard');
  const folder = join(dist, 'page');
  await mkdir(folder, { recursive: true });
  await build({
    absWorkingDir: top,
    entryPoints: [join(source, 'client/main.ts')],
    outfile: join(folder, 'page.js'),
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2023',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
  });
  for (const name of FILES) await copyFile(join(source, name), join(folder, name));
}

/** The page as esbuild writes it into the bundle of a program that serves it. */
export async function pageInside(dist: string): Promise<Readonly<Record<string, string>>> {
  const names = [...FILES, 'page.js'];
  const read = async (name: string): Promise<[string, string]> => [
    name,
    await readFile(join(dist, 'page', name), 'utf8'),
  ];
  return { PAGE_FILES: JSON.stringify(Object.fromEntries(await Promise.all(names.map(read)))) };
}
