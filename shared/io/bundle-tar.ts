/**
 * A bundle as one `.drover` tar, for transport. Only known names are read, each once and within its
 * bound. Times and owners are not written, so that equal bundles give equal files.
 */

import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import tar from 'tar-stream';
import {
  assertPartSize,
  COSIGNATURES_FILE,
  deltaPartName,
  DELTAS_FOLDER,
  isPartName,
  LOG_PROOF_FILE,
  MANIFEST_FILE,
  PAYLOAD_FILE,
  SIGNATURE_FILE,
} from '../formats/bundle-parts.ts';
import { attachmentPartName, isAttachmentKind } from '../formats/attachments.ts';
import { errnoOf, SICK_MEDIUM, wordsOfErrno } from '../base/errno.ts';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { openEntry } from './tar-entry.ts';
import type { Manifest } from '../formats/manifest.ts';

/**
 * Unpacks the parts of a `.drover` file into an empty folder of ours.
 * @throws DroverError ARCHIVE_CORRUPT, ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE, BUNDLE_INCOMPLETE,
 *   DISK_FULL, FILE_UNREADABLE, and those of `assertPartSize`
 */
export async function unpackBundleTar(folder: string, path: string): Promise<void> {
  const extract = tar.extract();
  const taken = new Set<string>();
  const take = async (): Promise<void> => {
    for await (const entry of extract) {
      const { type, size } = entry.header;
      const name = entry.header.name.replace(/^\.\//, '').replace(/\/$/, '');
      if (type === 'directory' && (name === '' || name === '.' || name === DELTAS_FOLDER)) {
        entry.resume();
        continue;
      }
      assertPart(path, { name, type, size, taken });
      taken.add(name);
      if (name.startsWith(`${DELTAS_FOLDER}/`)) {
        await mkdir(join(folder, DELTAS_FOLDER), { recursive: true });
      }
      await pipeline(entry, createWriteStream(join(folder, name), { flags: 'wx' }));
    }
  };
  const ends = await Promise.allSettled([pipeline(createReadStream(path), extract), take()]);
  const failures = ends.flatMap((end) =>
    end.status === 'rejected' ? [end.reason as unknown] : [],
  );
  // Ending one side early ends the other with a "premature close": our own error is the one to
  // throw.
  const cause = failures.find((one) => one instanceof DroverError) ?? failures[0];
  if (cause !== undefined) throw unpackFailure(path, cause);
  if (taken.size === 0) {
    throw new DroverError('BUNDLE_INCOMPLETE', `open bundle ${path}: it is empty`);
  }
}

function assertPart(
  path: string,
  part: { name: string; type: unknown; size: number; taken: ReadonlySet<string> },
): void {
  const shown = JSON.stringify(part.name.slice(0, 200));
  if (part.type !== 'file' || !isPartName(part.name) || part.taken.has(part.name)) {
    throw new DroverError('ARCHIVE_UNSAFE', `open bundle ${path}: entry ${shown} is not a part`, {
      hint: 'a .drover file holds the parts of one bundle: make it with drover pack',
    });
  }
  if (part.taken.size > LIMITS.deltasMax + LIMITS.attachmentsMax + 5) {
    throw new DroverError('ARCHIVE_TOO_LARGE', `open bundle ${path}: too many entries`);
  }
  assertPartSize(part.name, part.size);
}

function unpackFailure(path: string, cause: unknown): DroverError {
  if (cause instanceof DroverError) return cause;
  const [errno, why] = [errnoOf(cause), wordsOfErrno(cause)];
  if (errno === 'EACCES' || SICK_MEDIUM.includes(errno))
    return new DroverError('FILE_UNREADABLE', `open bundle ${path}: ${why}`, { cause });
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new DroverError('DISK_FULL', `open bundle ${path}: ${why}`, {
        cause,
        hint: `free space in ${tmpdir()}, or set TMPDIR to a larger disk`,
      });
    default:
      return new DroverError(
        'ARCHIVE_CORRUPT',
        `open bundle ${path}: it is no whole tar file: ${why}`,
        {
          cause,
          hint: 'a bundle is a folder, or a .drover file made with drover pack',
        },
      );
  }
}

/** The parts that are there, in the order in which a `.drover` file holds them. */
export async function listParts(
  folder: string,
  manifest: Manifest,
): Promise<{ name: string; bytes: number }[]> {
  const deltas = manifest.deltas.map(deltaPartName);
  const kinds = manifest.attachments.map(({ kind }) => kind).filter(isAttachmentKind);
  const attachments = kinds.map(attachmentPartName);
  const signed = [MANIFEST_FILE, SIGNATURE_FILE, COSIGNATURES_FILE, LOG_PROOF_FILE];
  const names = [...signed, ...attachments, PAYLOAD_FILE, ...deltas];
  const parts: { name: string; bytes: number }[] = [];
  for (const name of names) {
    const found = await lstat(join(folder, name)).catch(() => null); // not there: not a part
    if (found?.isFile()) parts.push({ name, bytes: found.size });
  }
  return parts;
}

/**
 * Writes a `.drover` file: the known parts only, without times or owners, so that equal bundles
 * give equal files. `out` must not exist yet.
 */
export async function writeBundleTar(
  bundle: { folder: string; manifest: Manifest },
  out: string,
): Promise<void> {
  const pack = tar.pack();
  const written = pipeline(pack, createWriteStream(out, { flags: 'wx', flush: true }));
  written.catch(() => undefined); // awaited below; a failure also ends the loop by destroying pack
  for (const { name, bytes } of await listParts(bundle.folder, bundle.manifest)) {
    const header = { name, size: bytes, mode: 0o644, mtime: new Date(0), uid: 0, gid: 0 };
    await pipeline(createReadStream(join(bundle.folder, name)), openEntry(pack, header).sink);
  }
  pack.finalize();
  await written;
}
