/**
 * The part of node_modules that a program needs beside its bundle: packages with machine code and
 * what those depend on, as Node itself would find them; and the licences of what is in the bundle.
 * Nothing is fetched. Left out is what no program loads: types, source maps, sources of the native
 * add-on, add-ons of other machines.
 */

import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { BUNDLE_LISTS, type BUNDLED, NATIVE_PACKAGE, type BundledPackages } from './bundled.ts';

export interface ShippedFile {
  /** Below the folder of the package. */
  readonly to: string;
  readonly from: string;
}

export type Arch = 'amd64' | 'arm64';

const PREBUILDS: Readonly<Record<Arch, string>> = { amd64: 'linux-x64', arm64: 'linux-arm64' };
const LICENCE = /^(?:licen[cs]e|copying|notice)/i;
const NOT_LOADED =
  /\.(?:[cm]?ts|map|md|markdown|cc|c|cpp|h|gyp|gypi|flow|yml|yaml|tgz|html|css|png|svg)$|^\.|^(?:tsconfig|biome|eslint).*\.json$/i;
const FOLDERS_LEFT_OUT =
  /^(?:\.|node_modules$|tests?$|__tests__$|spec$|docs?$|examples?$|bench(?:mark)?s?$|coverage$|deps$)/;

/** Files of a folder of node_modules, without packages nested in it. */
function filesOf(folder: string, arch: Arch, below = ''): string[] {
  const inside = readdirSync(join(folder, below), { withFileTypes: true });
  return inside
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(below, entry.name);
      if (entry.isDirectory()) {
        if (FOLDERS_LEFT_OUT.test(entry.name)) return [];
        // Others are for other runtimes than Node, and would tie a package to one machine.
        if (entry.name === 'prebuilds' && basename(folder) !== NATIVE_PACKAGE) return [];
        if (basename(below) === 'prebuilds' && entry.name !== PREBUILDS[arch]) return [];
        return filesOf(folder, arch, path);
      }
      if (LICENCE.test(entry.name)) return [path];
      const isOther = NOT_LOADED.test(entry.name) || entry.name.includes('.musl.');
      return entry.isFile() && !isOther ? [path] : [];
    });
}

/** Folder of a package as Node finds it from another. */
function findPackage(name: string, from: string, top: string): string | null {
  for (let at = from; ; at = dirname(at)) {
    const found = join(at, 'node_modules', name);
    if (existsSync(join(found, 'package.json'))) return found;
    if (at === top || at === dirname(at)) return null;
  }
}

/** Reads the lists that `npm run build` wrote beside the bundle of a program. */
export function bundledPackages(top: string, folder: keyof typeof BUNDLED): BundledPackages {
  const lists = readFileSync(join(top, 'dist', BUNDLE_LISTS), 'utf8');
  return (JSON.parse(lists) as Record<keyof typeof BUNDLED, BundledPackages>)[folder];
}

/** Licence files of packages that are in a bundle, below a folder named by each package. */
export function licencesOf(folders: readonly string[], top: string): ShippedFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(top, folder))
      .filter((name) => LICENCE.test(name))
      .sort()
      .map((name) => ({
        from: join(top, folder, name),
        to: join(folder.replaceAll('node_modules/', ''), name),
      })),
  );
}

/** Name, version and licence of each package, as its own manifest says. */
export const namesOf = (folders: readonly string[], top: string): string[] =>
  folders.map((folder) => {
    const manifest = readFileSync(join(top, folder, 'package.json'), 'utf8');
    const { name, version, license } = JSON.parse(manifest) as Record<string, string | undefined>;
    return `${name} ${version ?? ''} (${license ?? 'see its files'})`;
  });

export interface Closure {
  readonly files: readonly ShippedFile[];
  /** Name, version and licence of each package. */
  readonly packages: readonly string[];
  readonly hasNative: boolean;
}

/** @param top folder with node_modules */
export function closureOf(names: readonly string[], top: string, arch: Arch): Closure {
  const root = dirname(realpathSync(join(top, 'node_modules')));
  const found = new Map<string, { version: string; licence: string }>();
  const waiting = names.map((name) => ({ name, from: root, isOptional: false }));
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const folder = findPackage(next.name, next.from, root);
    if (folder === null && next.isOptional) continue;
    if (folder === null) throw new Error(`${next.name} is not in node_modules: run npm ci`);
    if (found.has(folder)) continue;
    const { version, license, dependencies, optionalDependencies } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    ) as {
      version: string;
      license?: string;
      dependencies?: object;
      optionalDependencies?: object;
    };
    found.set(folder, { version, licence: license ?? 'see its files' });
    const optional = Object.keys(optionalDependencies ?? {});
    for (const name of new Set([...Object.keys(dependencies ?? {}), ...optional])) {
      waiting.push({ name, from: folder, isOptional: optional.includes(name) });
    }
  }
  const folders = [...found.keys()].sort();
  return {
    files: folders.flatMap((folder) =>
      filesOf(folder, arch).map((path) => {
        const from = join(folder, path);
        return { from, to: relative(root, from) };
      }),
    ),
    packages: folders.map((folder) => {
      const one = found.get(folder);
      const name = relative(join(root, 'node_modules'), folder);
      return `${name} ${one?.version ?? ''} (${one?.licence ?? ''})`;
    }),
    hasNative: folders.some((folder) => basename(folder) === NATIVE_PACKAGE),
  };
}
