/**
 * The proof of logging in a bundle folder. Every command that reads a bundle checks it against the
 * manifest beside it. A policy decides whether its log and witnesses are those of the fleet.
 */

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { assertPartSize, LOG_PROOF_FILE } from '../../shared/formats/bundle-parts.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import type { Bundle } from '../../shared/io/bundle-folder.ts';
import { openLogProof } from '../../shared/tlog/logged.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import type { LogProof } from '../../shared/tlog/proof.ts';

export interface LogProofPart {
  readonly text: string;
  readonly proof: LogProof;
}

/**
 * Null when there is none.
 * @throws DroverError LOG_PROOF_INVALID when it is not of this manifest, DOCUMENT_TOO_LARGE,
 *   FILE_UNREADABLE
 */
export async function readLogProof({
  folder,
  manifestBytes,
}: Pick<Bundle, 'folder' | 'manifestBytes'>): Promise<LogProofPart | null> {
  const path = join(folder, LOG_PROOF_FILE);
  const found = await stat(path).catch(() => null);
  if (found?.isFile() !== true) return null;
  assertPartSize(LOG_PROOF_FILE, found.size);
  const bytes = await readFile(path).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read ${path}: ${why}`, { cause });
  });
  const proof = openLogProof(bytes, manifestBytes);
  return { text: bytes.toString('utf8'), proof };
}

/** @returns its path */
export async function writeLogProof(
  { folder }: Pick<Bundle, 'folder'>,
  text: string,
): Promise<string> {
  const path = join(folder, LOG_PROOF_FILE);
  await writeFileAtomic(path, text);
  return path;
}

/** `entry 3 of example.org/fleet (4 entries, 2 signatures)` */
export function logProofText({ index, checkpoint }: LogProof): string {
  const { size, origin, note } = checkpoint;
  const entries = countOf(size, 'entry', 'entries');
  const count = note.signatures.length;
  const signatures = countOf(count, 'signature');
  return `entry ${index} of ${printable(origin)} (${entries}, ${signatures})`;
}

/** The same for `--json`. */
export const logFields = ({ index, checkpoint }: LogProof) => ({
  origin: checkpoint.origin,
  index,
  size: checkpoint.size,
  signed_by: checkpoint.note.signatures.map(({ name }) => name),
});
