/**
 * Counts the entries and bytes of a payload as a stream, without unpacking it, within the bounds of
 * robots: an inspected bundle is not verified yet.
 */

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import tar from 'tar-stream';
import {
  assertUnpackedWithin,
  boundingBytes,
  checkArchiveEntry,
} from '../../shared/formats/archive-entry.ts';
import { isMachineXattr, paxXattr, type Attributed } from './xattr-policy.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { Bundle } from '../../shared/io/bundle-folder.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';

/** Longest list of attributes in a message. */
const NAMES_TOLD_MAX = 10;

export interface Census {
  readonly entries: number;
  readonly files: number;
  /** Sum of the files, unpacked. */
  readonly bytes: number;
  /** Entries with extended attributes, which robots do not restore; `attributedMax` at most. */
  readonly attributed: readonly Attributed[];
}

/** A packed payload from any source. */
export interface PayloadPieces {
  /** Name for messages. */
  readonly name: string;
  /** Packed size, or what stands for it as the bound on the unpacked size. */
  readonly bytes: number;
  readonly pieces: AsyncIterable<Uint8Array>;
}

/** @throws DroverError as `countPacked` */
export const countPayload = ({ payloadPath, payloadBytes, manifest }: Bundle): Promise<Census> =>
  countPacked({
    name: payloadPath,
    bytes: boundingBytes(payloadBytes, manifest.image?.size),
    pieces: createReadStream(payloadPath),
  });

/** @throws DroverError ARCHIVE_CORRUPT, ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE, those of the pieces */
export async function countPacked(payload: PayloadPieces): Promise<Census> {
  const { name: payloadPath, bytes: payloadBytes, pieces: packed } = payload;
  const extract = tar.extract();
  const count = async (): Promise<Census> => {
    const census = { entries: 0, files: 0, bytes: 0 };
    const attributed: Attributed[] = [];
    for await (const entry of extract) {
      const { name, type, linkname, mode, size } = entry.header;
      const header = { name, type: String(type), linkname: linkname ?? null, mode, size };
      const action = checkArchiveEntry(header, census, payloadBytes);
      const names = attributesOf({
        ...globalRecords(extract),
        ...(entry.header.pax as object | null | undefined),
      });
      if (names.length > 0 && attributed.length < LIMITS.attributedMax) {
        attributed.push({ path: name, names });
      }
      entry.resume();
      if (action.kind === 'ignore') continue;
      census.entries += 1;
      if (action.kind !== 'file') continue;
      census.files += 1;
      census.bytes += action.bytes;
    }
    return { ...census, attributed };
  };
  let unpackedBytes = 0;
  const counting = count();
  const reading = pipeline(
    packed,
    createGunzip(),
    async function* bounded(pieces: AsyncIterable<Buffer>) {
      for await (const piece of pieces) {
        unpackedBytes += piece.byteLength;
        assertUnpackedWithin(unpackedBytes, payloadBytes, 'the payload');
        yield piece;
      }
    },
    extract,
  );
  const [counted, read] = await Promise.allSettled([counting, reading]);
  const failures = [counted, read].flatMap((end) =>
    end.status === 'rejected' ? [end.reason as unknown] : [],
  );
  // Ending one side early ends the other with a "premature close": our own error is the one to
  // throw.
  const cause = failures.find((one) => one instanceof DroverError) ?? failures[0];
  if (cause === undefined && counted.status === 'fulfilled') return counted.value;
  if (cause instanceof DroverError) throw cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  throw new DroverError('ARCHIVE_CORRUPT', `read payload ${payloadPath}: ${why}`, { cause });
}

/**
 * `drover sign` refuses such a payload, but another tool may have signed this one. Robots judge a
 * payload that is no archive.
 */
export function tellAttributes(census: Census | null, version: string, log: Log): void {
  const found = census?.attributed ?? [];
  if (found.length === 0) return;
  const names = [...new Set(found.flatMap((one) => one.names))].slice(0, NAMES_TOLD_MAX);
  const facts = { version, entries: found.length, names };
  log.warn(facts, 'the payload has extended attributes that no robot restores (XATTRS_REFUSED)');
}

/**
 * PAX records that hold for every entry from here on. tar-stream passes them on only with entries
 * that have records of their own.
 */
const globalRecords = (extract: object): Record<string, string> | null =>
  (extract as { _paxGlobal?: Record<string, string> | null })._paxGlobal ?? null;

/** Names of attributes in the PAX records of an entry, without those that a machine sets. */
const attributesOf = (pax: object): string[] =>
  Object.keys(pax)
    .flatMap((key) => paxXattr(key) ?? [])
    .filter((name) => !isMachineXattr(name));
