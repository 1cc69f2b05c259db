/**
 * Builds the pages of the broker (broker/http/dashboard/) into `dist/page/`: the modules of each as
 * one script, and markup, style and icon as they are.
 */

import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const FILES = ['page.html', 'page.css', 'page.svg', 'docs.html', 'docs.css'] as const;
/** Scripts of the pages, each from one module of `client/`. */
const SCRIPTS = { 'page.js': 'main.ts', 'docs.js': 'docs.ts' } as const;

/**
 * @param top folder of the sources
 * @param dist folder of the build
 */
export async function buildPage(top: string, dist: string): Promise<void> {
  const source = join(top, 'broker/http/dashboard');
  const folder = join(dist, 'page');
  await mkdir(folder, { recursive: true });
  for (const [name, entry] of Object.entries(SCRIPTS)) {
    await build({
      absWorkingDir: top,
      entryPoints: [join(source, 'client', entry)],
      outfile: join(folder, name),
      bundle: true,
      platform: 'browser',
      format: 'esm',
      target: 'es2023',
      minify: true,
      legalComments: 'none',
      logLevel: 'warning',
    });
  }
  for (const name of FILES) await copyFile(join(source, name), join(folder, name));
}

/** The page as esbuild writes it into the bundle of a program that serves it. */
export async function pageInside(dist: string): Promise<Readonly<Record<string, string>>> {
  const names = [...FILES, ...Object.keys(SCRIPTS)];
  const read = async (name: string): Promise<[string, string]> => [
    name,
    await readFile(join(dist, 'page', name), 'utf8'),
  ];
  return { PAGE_FILES: JSON.stringify(Object.fromEntries(await Promise.all(names.map(read)))) };
}
