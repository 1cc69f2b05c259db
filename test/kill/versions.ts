/**
 * Versions of a small application for tests that kill: every version has content of its own, and
 * what a complete release must hash to is known from what was packed, never from what a robot
 * unpacked. Most of a payload is the same in all versions and comes first, so that a broker stores
 * a new version in a chunk or two.
 */

import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { pack } from 'tar-stream';
import { ATOMIC_SWAP } from '../../shared/formats/apply-strategy.ts';
import { makeDelta, type TestDelta } from '../helpers/delta.ts';
import type { SignedBundle, TestFleet } from '../helpers/fleet.ts';

export interface AppVersion {
  readonly version: string;
  readonly bundle: SignedBundle;
  /** The result of `treeHash` for a complete release. */
  readonly treeHash: string;
  /** From another version to this one. */
  readonly delta?: TestDelta;
}

export interface AppOptions {
  readonly fileCount: number;
  readonly fileBytes: number;
  readonly chunkBytes: number;
  /** `apply_strategy` of each version; by the link alone when it is left out. */
  readonly strategy?: string;
}

interface AppFile {
  readonly path: string;
  readonly mode: number;
  readonly bytes: Uint8Array;
}

/** File of the tree that the health hook reads. */
export const HEALTH_FILE = 'health';

/** Makes versions that share all files but two. */
export class AppMaker {
  readonly #fleet: TestFleet;
  readonly #options: AppOptions;
  readonly #base: readonly AppFile[];

  constructor(fleet: TestFleet, options: AppOptions) {
    this.#fleet = fleet;
    this.#options = options;
    this.#base = Array.from({ length: options.fileCount }, (_, at) => ({
      path: `lib/part-${at % 8}/file-${at}.bin`,
      mode: at % 10 === 0 ? 0o755 : 0o644,
      bytes: noise(at + 1, options.fileBytes),
    }));
  }

  async make(version: string, isHealthy: boolean, deltaFrom?: AppVersion): Promise<AppVersion> {
    const own = [
      { path: 'VERSION', mode: 0o644, bytes: Buffer.from(version) },
      { path: HEALTH_FILE, mode: 0o644, bytes: Buffer.from(isHealthy ? 'good' : 'bad') },
    ];
    const files = [...this.#base, ...own];
    const payload = await packFiles(files, version);
    const { chunkBytes, strategy = ATOMIC_SWAP } = this.#options;
    const base = deltaFrom && { version: deltaFrom.version, payload: deltaFrom.bundle.payload };
    const delta = base && (await makeDelta(base, payload));
    const manifest = { ...delta?.manifest, apply_strategy: strategy };
    const bundle = await this.#fleet.makeBundle({ version, payload, chunkBytes, manifest });
    const made = { version, bundle, treeHash: expectedHash(files, version) };
    return delta ? { ...made, delta } : made;
  }
}

/** The same incompressible bytes for a seed every time: xorshift32. */
function noise(seed: number, byteCount: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(byteCount / 4));
  let x = Math.imul(seed, 0x9e3779b9) | 1;
  for (let at = 0; at < words.length; at += 1) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[at] = x;
  }
  return new Uint8Array(words.buffer, 0, byteCount);
}

async function packFiles(files: readonly AppFile[], linkTo: string): Promise<Uint8Array> {
  const archive = pack();
  for (const { path, mode, bytes } of files) {
    archive.entry({ name: path, mode, mtime: new Date(0) }, Buffer.from(bytes));
  }
  archive.entry({ name: 'current', type: 'symlink', linkname: linkTo, mtime: new Date(0) });
  archive.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of archive) pieces.push(piece as Buffer);
  return new Uint8Array(await promisify(gzip)(Buffer.concat(pieces), { level: 1 }));
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const fileLine = (path: string, mode: number, bytes: Uint8Array): string =>
  `${path} file ${mode.toString(8)} ${sha256(bytes)}`;
const linkLine = (path: string, target: string): string => `${path} link ${target}`;
const hashLines = (lines: string[]): string => sha256(Buffer.from(lines.sort().join('\n')));

function expectedHash(files: readonly AppFile[], linkTo: string): string {
  const lines = files.map(({ path, mode, bytes }) => fileLine(path, mode, bytes));
  return hashLines([...lines, linkLine('current', linkTo)]);
}

/** One hash over every name, mode, byte and link of a tree. @throws of the file system */
export function treeHash(folder: string): string {
  const lines: string[] = [];
  const walk = (below: string): void => {
    for (const name of readdirSync(join(folder, below))) {
      const path = join(below, name);
      const full = join(folder, path);
      const stat = lstatSync(full);
      if (stat.isDirectory()) walk(path);
      else if (stat.isSymbolicLink()) lines.push(linkLine(path, readlinkSync(full)));
      else lines.push(fileLine(path, stat.mode & 0o7777, readFileSync(full)));
    }
  };
  walk('');
  return hashLines(lines);
}
