/**
 * One Debian package from a list of files. The same list gives the same bytes on every machine:
 * owners are root, times are SOURCE_DATE_EPOCH, modes are said here and not taken from the disk.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { lutimesSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface PackedFile {
  /** From the root of the machine, without the first slash. */
  readonly to: string;
  readonly content: { readonly from: string } | { readonly text: string };
  readonly mode?: number;
}

export interface Deb {
  readonly name: string;
  readonly version: string;
  readonly arch: string;
  readonly fields: Readonly<Record<string, string>>;
  /** First line and the rest. */
  readonly description: readonly [string, string];
  readonly files: readonly PackedFile[];
  readonly scripts: Readonly<Record<string, string>>;
}

export interface Compression {
  readonly kind: 'xz' | 'gzip';
  readonly level: number;
}

/** Path of the package that was made. */
export function buildDeb(
  deb: Deb,
  { out, epochS, compression }: { out: string; epochS: number; compression: Compression },
): string {
  const root = mkdtempSync(join(tmpdir(), 'drover-deb-'));
  try {
    for (const file of deb.files) {
      const to = join(root, file.to);
      makeFolders(root, file.to);
      if ('from' in file.content) copyFileSync(file.content.from, to);
      else writeFileSync(to, file.content.text);
      chmodSync(to, file.mode ?? 0o644);
    }
    writeControl(deb, root);
    setTimes(root, epochS);
    mkdirSync(out, { recursive: true });
    const path = join(out, `${deb.name}_${deb.version}_${deb.arch}.deb`);
    const { kind, level } = compression;
    const how = ['--root-owner-group', '--uniform-compression', `-Z${kind}`, `-z${level}`];
    const env = { ...process.env, SOURCE_DATE_EPOCH: String(epochS) };
    execFileSync('dpkg-deb', [...how, '--build', root, path], { env, stdio: 'pipe' });
    return path;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Not by `recursive`, which would take the mode from the umask of whoever builds. */
function makeFolders(root: string, path: string): void {
  const above = dirname(path);
  if (above !== '.') makeFolders(root, above);
  const folder = join(root, above);
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
}

function writeControl(deb: Deb, root: string): void {
  makeFolders(root, 'DEBIAN/control');
  const bytes = deb.files.reduce((sum, { to }) => sum + statSync(join(root, to)).size, 0);
  const [title, rest] = deb.description;
  const fields = {
    Package: deb.name,
    Version: deb.version,
    Architecture: deb.arch,
    Maintainer: 'Drover developers <drover@localhost>',
    'Installed-Size': String(Math.ceil(bytes / 1024)),
    Section: 'admin',
    Priority: 'optional',
    ...deb.fields,
    Description: `${title}\n${rest.replace(/^/gm, ' ')}`,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`);
  const sums = [...deb.files]
    .sort((a, b) => (a.to < b.to ? -1 : 1))
    .map(({ to }) => `${md5(join(root, to))}  ${to}\n`);
  const conffiles = deb.files.filter(({ to }) => to.startsWith('etc/')).map(({ to }) => `/${to}\n`);
  const parts: [string, string, number][] = [
    ['control', lines.join(''), 0o644],
    ['md5sums', sums.join(''), 0o644],
    ...(conffiles.length > 0
      ? [['conffiles', conffiles.join(''), 0o644] as [string, string, number]]
      : []),
    ...Object.entries(deb.scripts).map(
      ([name, text]) => [name, text, 0o755] as [string, string, number],
    ),
  ];
  for (const [name, text, mode] of parts) {
    const path = join(root, 'DEBIAN', name);
    writeFileSync(path, text);
    chmodSync(path, mode);
  }
}

const md5 = (path: string): string => createHash('md5').update(readFileSync(path)).digest('hex');

function setTimes(path: string, epochS: number): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) setTimes(join(path, entry.name), epochS);
    else lutimesSync(join(path, entry.name), epochS, epochS);
  }
  lutimesSync(path, epochS, epochS);
}
