/** What unpacks the frames of a delta: `zstd -d` as a child, with memory and time bounded. */

import { LIMITS } from '../base/limits.ts';
import type { PatchProgram } from '../base/ports.ts';
import { probeZstd, runZstd } from './zstd.ts';

/** @param program `zstd`, or a path of one */
export function zstdProgram(program: string): PatchProgram {
  return {
    unpack: ({ dictionary, frame, take, signal }) =>
      runZstd({
        program,
        args: [
          ...['-d', '-q', '-c', `--memory=${LIMITS.deltaFreshBytesMax}`],
          ...(dictionary === null ? [] : [`--patch-from=${dictionary}`]),
        ],
        input: frame,
        take,
        timeoutMs: LIMITS.zstdDecodeMsMax,
        signal,
      }),
  };
}

/** Null when there is none that can patch: the robot takes full payloads then, and says so. */
export async function findZstdProgram(
  program: string,
  onMissing: (error: unknown) => void,
): Promise<PatchProgram | null> {
  try {
    await probeZstd(program);
    return zstdProgram(program);
  } catch (error) {
    onMissing(error);
    return null;
  }
}
