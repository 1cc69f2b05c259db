/**
 * Builds the page of the broker (broker/http/dashboard/) into `dist/page/`: its modules as one
 * script, and its markup, style and icon as they are.
 */

import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

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

/** Puts the page into the bundle of a program that serves it. */
export const pageInside = (dist: string): Plugin => ({
  name: 'page-inside',
  setup({ onLoad }) {
    onLoad({ filter: /\/broker\/http\/dashboard\/assets\.js$/ }, async () => {
      const read = (name: string): Promise<string> => readFile(join(dist, 'page', name), 'utf8');
      const [html, css, svg] = await Promise.all(FILES.map(read));
      const assets = JSON.stringify({ html, css, svg, js: await read('page.js') });
      return { contents: `export const pageAssets = () => (${assets});` };
    });
  },
});
