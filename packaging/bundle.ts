/**
 * The last part of `npm run build`: the page of the broker, each program as one file
 * (`dist/drover.js`, `dist/drover-broker.js`, `dist/drover-robot.js`), and each library that other
 * programs import.
 * A start then reads one file instead of some 440, and costs half the CPU: `recover` runs at each
 * boot, before the application. Only the native add-on stays outside.
 */

import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import {
  BUNDLE_LISTS,
  BUNDLED,
  LIBRARIES,
  NATIVE_PACKAGE,
  WORKERS,
  type BundledPackages,
} from './bundled.ts';
import { buildPage, pageInside } from './page.ts';

/** Packages of the old module form ask for these. */
const FOR_OLD_MODULES = [
  `import { createRequire as requireOf } from 'node:module';`,
  `import { dirname as folderOf } from 'node:path';`,
  `import { fileURLToPath as pathOf } from 'node:url';`,
  'const require = requireOf(import.meta.url);',
  'const __filename = pathOf(import.meta.url);',
  'const __dirname = folderOf(__filename);',
].join(' ');

/** Below `dist/`, as esbuild was given them. */
const PACKAGE = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)\//;

/** Zod brings its messages in 50 languages, a seventh of a bundle; Drover's own say what is wrong. */
const ENGLISH_ONLY: Plugin = {
  name: 'english-only',
  setup({ onLoad }) {
    onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: `export { default as en } from './en.js';`,
    }));
  },
};

const dist = dirname(dirname(fileURLToPath(import.meta.url)));

/** A build folder may lie deeper than `dist/`. */
function sourcesAbove(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder;
  if (folder === dirname(folder)) throw new Error(`no sources above ${dist}`);
  return sourcesAbove(dirname(folder));
}

async function bundle(entry: string, name: string): Promise<BundledPackages> {
  const outfile = join(dist, `${name}.js`);
  const { metafile } = await build({
    absWorkingDir: dirname(dist),
    entryPoints: [join(dist, entry)],
    outfile: `${outfile}.new`,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: [NATIVE_PACKAGE],
    plugins: [ENGLISH_ONLY],
    define: pageFiles,
    banner: { js: FOR_OLD_MODULES },
    legalComments: 'none', // packages carry each licence whole
    metafile: true,
    logLevel: 'warning',
  });
  await rename(`${outfile}.new`, outfile);
  const inside = Object.keys(metafile.inputs).flatMap((path) => {
    const [found] = PACKAGE.exec(path) ?? [];
    return found === undefined ? [] : [found.slice(0, -1)];
  });
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  const isBeside = imports.some(
    ({ path, external }) => external === true && path === NATIVE_PACKAGE,
  );
  return { inside: [...new Set(inside)].sort(), beside: isBeside ? [NATIVE_PACKAGE] : [] };
}

await buildPage(sourcesAbove(dist), dist);
const pageFiles = await pageInside(dist);
const lists = await Promise.all(
  Object.entries(BUNDLED).map(
    async ([folder, name]) => [folder, await bundle(join(folder, 'main.js'), name)] as const,
  ),
);
const others = { ...LIBRARIES, ...WORKERS };
await Promise.all(Object.entries(others).map(([entry, name]) => bundle(entry, name)));
await writeFile(
  join(dist, BUNDLE_LISTS),
  `${JSON.stringify(Object.fromEntries(lists), null, 2)}\n`,
);
