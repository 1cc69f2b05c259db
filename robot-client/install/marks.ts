/**
 * Two marks in small files. `seals/.confirmed` names the version that was confirmed last, with the
 * hash of its seal. It is beside the releases, because robots lose the folder `state/`; `recover`
 * uses it to distinguish a confirmed version from one on trial. A mark that is unreadable, or
 * belongs to a release with other bytes, is ignored.
 *
 * `state/clean` says that the agent ended in order. Without it a boot hashes what it starts: the
 * power was cut, and only hashes find what a lying disk lost. It is removed, durably, before the
 * agent works again.
 */

import { z } from 'zod';
import { nullIfFailed, nullIfRefused, toProblem, type Problem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseStrictJson } from '../../shared/formats/strict-json.ts';
import type { Disk } from './disk-port.ts';
import { adoptedSealFile, releaseFolder, sealFile, type Layout } from './layout.ts';
import { encodeSealEnd, parseSealEnd } from './seal.ts';
import { checkRelease } from './seal-check.ts';
import { writeWhole } from './small-file.ts';

const markSchema = z.object({ version: z.string(), seal: z.string() });
type Mark = z.output<typeof markSchema>;

const confirmedFile = (layout: Layout): string => `${layout.seals}/.confirmed`;

/**
 * Marks a version as confirmed; durable when this resolves. It writes nothing when the mark is
 * right already, or when the version has no seal.
 * @returns why the mark could not be written; the next clean-up tries again
 */
export async function noteConfirmed(
  disk: Disk,
  layout: Layout,
  version: string,
): Promise<Problem | null> {
  try {
    await write(disk, layout, version);
    return null;
  } catch (thrown) {
    return toProblem(thrown);
  }
}

async function write(disk: Disk, layout: Layout, version: string): Promise<void> {
  const seal = await sealHash(disk, layout, version);
  if (seal === null) return;
  const known = await readMark(disk, layout);
  if (known?.version === version && known.seal === seal) return;
  const mark: Mark = { version, seal };
  await writeWhole(disk, confirmedFile(layout), new TextEncoder().encode(JSON.stringify(mark)));
}

/** True when the mark names that version with the seal that it has, and the seal holds. */
export async function wasConfirmedHere(
  disk: Disk,
  layout: Layout,
  version: string,
): Promise<boolean> {
  const mark = await readMark(disk, layout);
  if (mark?.version !== version || mark.seal !== (await sealHash(disk, layout, version))) {
    return false;
  }
  const tree = releaseFolder(layout, version);
  const look = { version, tree, mayHash: () => false, known: new Set<string>(), isOnlyLost: true };
  const found = await checkRelease(disk, layout, look);
  return found.kind === 'whole' && found.isByRecipe !== true;
}

async function readMark(disk: Disk, layout: Layout): Promise<Mark | null> {
  const bytes = await nullIfFailed(
    disk.readFile(confirmedFile(layout), LIMITS.confirmedMarkBytesMax),
  );
  if (bytes === null) return null;
  return nullIfRefused(() => {
    const json = parseStrictJson(bytes, '.confirmed', LIMITS.confirmedMarkBytesMax);
    return markSchema.safeParse(json).data ?? null;
  });
}

/** The hash that the seal of a release ends with; null when it has none that can be read. */
async function sealHash(disk: Disk, layout: Layout, version: string): Promise<string | null> {
  for (const path of [sealFile(layout, version), adoptedSealFile(layout, version)]) {
    const hash = await nullIfFailed(lastHash(disk, path));
    if (hash !== null) return hash;
  }
  return null;
}

const END_BYTES = encodeSealEnd('0'.repeat(64)).length;

async function lastHash(disk: Disk, path: string): Promise<string | null> {
  if ((await disk.kind(path)) !== 'file') return null;
  const file = await disk.open(path, 'read');
  try {
    const into = new Uint8Array(END_BYTES);
    const got = await file.read(into, Math.max(0, (await file.size()) - END_BYTES));
    return parseSealEnd(Buffer.from(into.subarray(0, got)).toString('latin1').trimEnd());
  } finally {
    await file.close();
  }
}

const cleanFile = (layout: Layout): string => `${layout.state}/clean`;

/** True when the mark was there; it is removed. */
export async function takeCleanMark(disk: Disk, layout: Layout): Promise<boolean> {
  if ((await disk.kind(cleanFile(layout))) !== 'file') return false;
  await disk.unlink(cleanFile(layout));
  await disk.syncFolder(layout.state);
  return true;
}

/** @throws DroverError DISK_FULL, DISK_WRITE_FAILED */
export async function setCleanMark(disk: Disk, layout: Layout): Promise<void> {
  await writeWhole(disk, cleanFile(layout), new TextEncoder().encode('the agent ended in order\n'));
}
