/**
 * Decides which files of a tree keep their time in the payload: sources whose compiled file is
 * valid here, so that it is valid on the robot as well and Python compiles nothing. All other files
 * get no time, so that equal trees give equal bytes. Sans-I/O.
 */

import { isByteCode, sourceOfByteCode, type ByteCodeHead } from '../../shared/rules/byte-code.ts';

/** A file as the listing found it. */
export interface TimedFile {
  readonly path: string;
  readonly bytes: number;
  /** Whole seconds since the epoch. */
  readonly timeS: number;
  /** Head of a compiled file that is bound to the time of its source; null for all others. */
  readonly byteCode: ByteCodeHead | null;
}

export interface ByteCodeTimes {
  /** Time in seconds of each source whose time is packed. */
  readonly times: ReadonlyMap<string, number>;
  /** Compiled files that Python will not use: their source differs or is newer. */
  readonly stale: readonly string[];
}

const UINT32 = 2 ** 32;

export function byteCodeTimes(files: readonly TimedFile[]): ByteCodeTimes {
  const compiled = files.filter(({ path, byteCode }) => byteCode !== null && isByteCode(path));
  const sources = new Map(files.map((file) => [file.path, file]));
  const times = new Map<string, number>();
  const stale: string[] = [];
  for (const { path, byteCode } of compiled) {
    const source = sources.get(sourceOfByteCode(path) ?? '');
    if (!source || !byteCode) continue; // byte code without its source is used as it is
    if (isValidFor(byteCode, source)) times.set(source.path, source.timeS);
    else stale.push(path);
  }
  return { times, stale };
}

function isValidFor(head: ByteCodeHead, source: TimedFile): boolean {
  const isSameSize = head.sourceBytes === null || head.sourceBytes === source.bytes % UINT32;
  return isSameSize && source.timeS > 0 && head.sourceTimeS === source.timeS % UINT32;
}
