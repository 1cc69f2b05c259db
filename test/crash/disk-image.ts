/**
 * The content of a disk at rest: a tree of files, folders and links that never changes. A crash
 * state is one such image, and two of them are the same state exactly when their keys are equal.
 */

import { sha256Hex } from '../../shared/crypto/hash.ts';

export interface FileImage {
  readonly kind: 'file';
  readonly bytes: Uint8Array;
  readonly mode: number;
}

export interface FolderImage {
  readonly kind: 'folder';
  readonly entries: ReadonlyMap<string, Image>;
  readonly mode: number;
}

export interface LinkImage {
  readonly kind: 'link';
  readonly target: string;
}

export type Image = FileImage | FolderImage | LinkImage;

export const file = (text: string | Uint8Array, mode = 0o644): FileImage => ({
  kind: 'file',
  bytes: typeof text === 'string' ? new TextEncoder().encode(text) : text,
  mode,
});

export const folder = (entries: Readonly<Record<string, Image>>, mode = 0o755): FolderImage => ({
  kind: 'folder',
  entries: new Map(Object.entries(entries)),
  mode,
});

export const link = (target: string): LinkImage => ({ kind: 'link', target });

/** Same bytes, one hash: contents are shared by thousands of images. */
const hashes = new WeakMap<Uint8Array, string>();

function hashOf(bytes: Uint8Array): string {
  const known = hashes.get(bytes);
  if (known !== undefined) return known;
  const hash = sha256Hex(bytes).slice(0, 24);
  hashes.set(bytes, hash);
  return hash;
}

/** Text that names everything there is in it: names, kinds, modes, contents, targets. */
export function imageKey(image: Image): string {
  switch (image.kind) {
    case 'file':
      return `f${image.mode.toString(8)}:${hashOf(image.bytes)}`;
    case 'link':
      return `l:${image.target}`;
    case 'folder': {
      const names = [...image.entries.keys()].sort();
      const inside = names.map((name) => `${name}=${imageKey(image.entries.get(name) as Image)}`);
      return `d${image.mode.toString(8)}{${inside.join(',')}}`;
    }
  }
}

/** Null when there is nothing at that path; links are not followed. */
export function imageAt(image: Image, path: string): Image | null {
  let found: Image | undefined = image;
  for (const name of path.split('/').filter((part) => part !== '')) {
    found = found?.kind === 'folder' ? found.entries.get(name) : undefined;
  }
  return found ?? null;
}
