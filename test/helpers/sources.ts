/**
 * The files of the repository as text, for tests about style. Reads what stands there, tracked or
 * not, so that a rule is broken in the working copy before it is broken in a commit.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryFile } from './repository.ts';

/** Not ours, or made from what is ours. */
const SKIPPED = ['node_modules', 'dist', '.git', '.drover', 'packages'];
export const PROGRAMS = ['broker', 'robot-client', 'publisher'] as const;
const BINARY = /\.(?:png|jpg|gif|ico|woff2?|gz|zst|sig|key|raw|glb|bin)$/;

export interface Source {
  /** From the top of the repository: `shared/io/cli.ts`. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** `text` with comments blanked out, line by line. */
  readonly code: string;
}

export interface Import {
  /** As written: `../shared/base/errors.ts`, `node:fs`, `zod`. */
  readonly specifier: string;
  /** Path of the file for a relative import, else the name of the package. */
  readonly target: string;
  readonly isRelative: boolean;
}

function walk(folder: string): string[] {
  return readdirSync(repositoryFile(folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (SKIPPED.includes(entry.name)) return []; // .git is a file in a git worktree
    if (entry.isDirectory()) return walk(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Every text file of the repository. */
export function allTextFiles(): { path: string; text: string }[] {
  return walk('')
    .filter((path) => !BINARY.test(path) && !path.endsWith('.log'))
    .map((path) => ({ path, text: readFileSync(repositoryFile(path), 'utf8') }));
}

/** Every .ts file, tests included. */
export function allSources(): Source[] {
  return allTextFiles()
    .filter(({ path }) => path.endsWith('.ts'))
    .map(({ path, text }) => ({
      path,
      text,
      lines: text.trimEnd().split('\n'),
      code: withoutComments(text),
    }));
}

/** Sources that are shipped or run by people: everything but tests. */
export function productSources(): Source[] {
  return allSources().filter(({ path }) => !path.startsWith('test/'));
}

export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

/** A file that does no I/O says so in its header. */
export function isPure({ text }: Pick<Source, 'text'>): boolean {
  return /^\/\*\*(?:(?!\*\/)[\s\S])*\bSans-I\/O\./.test(text);
}

/** Static and dynamic imports and re-exports, types included. */
export function importsOf({ path, code }: Source): Import[] {
  const pattern =
    /^(?:import|export)\b(?:[^;'"`]*?\bfrom)?\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm;
  return [...code.matchAll(pattern)].map((match) => {
    const specifier = (match[1] ?? match[2]) as string;
    const isRelative = specifier.startsWith('.');
    const target = isRelative ? join(folderOf(path), specifier) : packageOf(specifier);
    return { specifier, target, isRelative };
  });
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  const [first = '', second = ''] = specifier.split('/');
  return first.startsWith('@') ? `${first}/${second}` : first;
}

/** Blanks comments and keeps line breaks; `://` inside a string is not taken for one. */
function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:'"`\\/])\/\/.*$/gm, '$1');
}

/** `path:line` of every match, for failures that a person can click on. */
export function placesOf(source: { path: string; text: string }, pattern: RegExp): string[] {
  return source.text
    .split('\n')
    .flatMap((line, at) =>
      pattern.test(line) ? [`${source.path}:${at + 1}: ${line.trim()}`] : [],
    );
}
