/**
 * Plans what a job downloads, and into which files: the full payload, or the delta that was chosen.
 * Sans-I/O.
 */

import { indexFile, patchFile, patchIndexFile, payloadFile } from '../install/layout.ts';
import type { Job } from './state.ts';

export interface Transfer {
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly chunkIndex: string;
  readonly path: string;
  readonly indexPath: string;
}

/** @param folder the staging folder of the job */
export function transferOf(
  job: Pick<Job, 'delta' | 'payloadBytes' | 'chunkBytes' | 'chunkIndex'>,
  folder: string,
): Transfer {
  const { delta } = job;
  if (delta) {
    const { bytes, chunkBytes, chunkIndex } = delta;
    const path = patchFile(folder, delta.sha256);
    const indexPath = patchIndexFile(folder, delta.sha256);
    return { bytes, chunkBytes, chunkIndex, path, indexPath };
  }
  const { payloadBytes: bytes, chunkBytes, chunkIndex } = job;
  const [path, indexPath] = [payloadFile(folder), indexFile(folder)];
  return { bytes, chunkBytes, chunkIndex, path, indexPath };
}
