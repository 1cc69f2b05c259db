/**
 * Takes over a root that holds a plain `active/` folder, as robots have before Drover. Moving the
 * folder and setting the link are two steps; the intent is written first, so that `recover` can
 * finish the second when the power went between them.
 */

import { versionSchema, parseDocument } from '../../shared/schema.ts';
import { LIMITS } from '../../shared/limits.ts';
import { z } from 'zod';
import { linkTarget, releaseFolder, type Layout } from '../core/layout.ts';
import type { Disk } from '../core/ports.ts';
import { writeWhole } from './state-file.ts';

/** Version of a tree that nobody named: below every real one. */
export const ADOPTED_VERSION_DEFAULT = '0.0.0';

const KIND = {
  what: 'adopting.json',
  schema: z.object({ version: versionSchema }),
  bytesMax: LIMITS.reportBytesMax,
  code: 'STATE_CORRUPT',
} as const;

/** Begins or finishes an adoption; returns the adopted version, null when there was nothing. */
export async function adoptActiveFolder(
  disk: Disk,
  layout: Layout,
  version: string = ADOPTED_VERSION_DEFAULT,
): Promise<string | null> {
  const intent = await disk.readFile(layout.adoptFile, LIMITS.reportBytesMax);
  const kind = await disk.kind(layout.active);
  if (intent === null && kind !== 'folder') return null;
  // A plain folder beside releases is what a person made of a root that was Drover's already.
  if (intent === null && (await disk.list(layout.releases)).length > 0) return null;
  const adopted = intent === null ? version : parseDocument(KIND, intent).version;
  if (intent === null) {
    const bytes = new TextEncoder().encode(JSON.stringify({ version: adopted }));
    await writeWhole(disk, layout.adoptFile, bytes);
  }
  if (kind === 'folder') {
    await disk.rename(layout.active, releaseFolder(layout, adopted));
    await disk.syncFolder(layout.releases);
  }
  if ((await disk.kind(layout.active)) === 'absent') {
    await disk.unlink(`${layout.active}.new`);
    await disk.symlink(linkTarget(adopted), `${layout.active}.new`);
    await disk.rename(`${layout.active}.new`, layout.active);
  }
  await disk.syncFolder(layout.root);
  // Not synced: an intent that comes back finds nothing to do, and the next state file ends it.
  await disk.unlink(layout.adoptFile);
  return adopted;
}
