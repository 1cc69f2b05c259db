/**
 * Tracks what the entries of an archive have made so far, so that each path is made once and
 * nothing is ever made through something that is not a folder: a link planted by one entry cannot
 * redirect the next. Folders share their prefixes, which keeps the largest archive allowed within
 * tens of MiB. Sans-I/O.
 */

import { assertEntriesWithin, unsafeEntry, type ArchiveAction } from './archive-entry.ts';
import { printable } from '../base/printable.ts';

interface FolderNode {
  readonly kind: 'folder';
  mode: number;
  readonly children: Map<string, Node>;
}
interface FileNode {
  readonly kind: 'file';
  readonly mode: number;
  readonly bytes: number;
  readonly timeS?: number;
  /** As `Sha256Stream.digestBinary` has it; absent until the file was made. */
  sha256?: string;
}
type Node = FolderNode | FileNode | { readonly kind: 'link' };

/** A folder that no entry describes, only implies. */
const IMPLIED_MODE = 0o755;
const LINK = { kind: 'link' } as const;

const folderNode = (mode: number): FolderNode => ({ kind: 'folder', mode, children: new Map() });

export class ArchiveTree {
  readonly #top = folderNode(IMPLIED_MODE);
  #entries = 0;

  /** Inodes made, implied folders included. */
  get entries(): number {
    return this.#entries;
  }

  /**
   * Takes the path of an action, once.
   * @returns the folders to make before it, outermost first; the action's own folder included
   * @throws DroverError ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE
   */
  claim(action: Exclude<ArchiveAction, { kind: 'ignore' }>): string[] {
    const segments = action.path.split('/');
    const last = segments.pop() ?? '';
    const made: string[] = [];
    const parent = this.#walk(segments, action.path, made);
    const there = parent.children.get(last);
    if (there !== undefined) {
      if (there.kind !== 'folder' || action.kind !== 'folder') {
        throw unsafeEntry(action.path, `is there already as a ${there.kind}`);
      }
      there.mode = action.mode; // as tar does it: the later entry describes the folder
      return made;
    }
    const node = this.#nodeOf(action);
    this.#count(action.path);
    parent.children.set(last, node);
    if (action.kind === 'folder') made.push(action.path);
    return made;
  }

  /** The regular file that earlier entries made at `path`; null when it is anything else. */
  fileAt(path: string): Readonly<Omit<FileNode, 'kind'>> | null {
    const node = this.#nodeAt(path);
    return node?.kind === 'file' ? node : null;
  }

  #nodeAt(path: string): Node | null {
    let node: Node | undefined = this.#top;
    for (const segment of path.split('/')) {
      if (node?.kind !== 'folder') return null;
      node = node.children.get(segment);
    }
    return node ?? null;
  }

  /**
   * Notes the hash of a file that was made. An archive of `archiveEntriesMax` files costs 10 MB so,
   * and the names of its files need no second place.
   */
  hashed(path: string, sha256: string): void {
    const node = this.#nodeAt(path);
    if (node?.kind === 'file') node.sha256 = sha256;
  }

  /** Every folder after all that is in it, without the top one. */
  *folders(): Generator<{ readonly path: string; readonly mode: number }> {
    yield* foldersBelow(this.#top, '');
  }

  #walk(segments: readonly string[], path: string, made: string[]): FolderNode {
    let node = this.#top;
    for (const [at, segment] of segments.entries()) {
      const there = node.children.get(segment);
      if (there !== undefined && there.kind !== 'folder') {
        throw unsafeEntry(path, `its parent "${printable(segment)}" is a ${there.kind}`);
      }
      const next = there ?? folderNode(IMPLIED_MODE);
      if (there === undefined) {
        this.#count(path);
        node.children.set(segment, next);
        made.push(segments.slice(0, at + 1).join('/'));
      }
      node = next;
    }
    return node;
  }

  #nodeOf(action: Exclude<ArchiveAction, { kind: 'ignore' }>): Node {
    switch (action.kind) {
      case 'folder':
        return folderNode(action.mode);
      case 'file':
        return {
          kind: 'file',
          mode: action.mode,
          bytes: action.bytes,
          ...(action.timeS && { timeS: action.timeS }),
        };
      case 'link':
        return LINK;
      case 'hardlink': {
        const file = this.fileAt(action.target);
        if (file) return file as FileNode;
        throw unsafeEntry(
          action.path,
          `link target "${printable(action.target)}" is no file before it`,
        );
      }
    }
  }

  #count(path: string): void {
    assertEntriesWithin(this.#entries + 1, path);
    this.#entries += 1;
  }
}

function* foldersBelow(
  folder: FolderNode,
  prefix: string,
): Generator<{ readonly path: string; readonly mode: number }> {
  for (const [name, node] of folder.children) {
    if (node.kind !== 'folder') continue;
    yield* foldersBelow(node, `${prefix}${name}/`);
    yield { path: `${prefix}${name}`, mode: node.mode };
  }
}
