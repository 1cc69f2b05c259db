/**
 * Entries of the error catalogue about `active`, `rollback` and `releases/` of a robot: Drover
 * leaves everything there that it did not make. Sans-I/O.
 */

import { refused, type CatalogueEntry } from './catalogue-entry.ts';

export const SLOT_CODES = {
  SLOT_OUTSIDE: refused(
    'operator',
    'the link leads out of releases/: take it over with drover-robot adopt, or lead it to releases/VERSION; until then nothing is updated or removed',
    'later',
  ),
  SLOT_FOLDER: refused(
    'operator',
    'a folder stands where the link should be: take it over with drover-robot adopt; until then nothing is updated or removed',
    'later',
  ),
  SLOT_NAME: refused(
    'operator',
    'the link leads to a folder whose name is no version: take it over with drover-robot adopt; until then nothing is updated or removed',
    'later',
  ),
  SLOT_DANGLING: refused(
    'operator',
    'the link leads to nothing: bring back (or mount) what it leads to, or put it aside with drover-robot adopt; until then nothing is updated or removed',
    'later',
  ),
  SLOT_LOOP: refused(
    'operator',
    'the link leads to itself: put it aside with drover-robot adopt; until then nothing is updated or removed',
    'later',
  ),
  SLOT_NO_RELEASE: refused(
    'operator',
    'this can be no release: put it aside with drover-robot adopt; until then nothing is updated or removed',
    'later',
  ),
  SLOT_UNREADABLE: refused(
    'operator',
    'look at the disk and the permissions of the path in the message; until then nothing is updated or removed',
    'later',
  ),
  SLOT_NOT_UTF8: refused(
    'operator',
    'a name on the way of the link has bytes that are not UTF-8 (ls -b shows them): rename it, or lead the link straight to its release (ln -s releases/VERSION DIR/next, then mv -T DIR/next DIR/active, or DIR/rollback); until then nothing is updated or removed',
    'later',
  ),
  SLOT_SHARED: refused(
    'operator',
    'the link that the message names leads through a slot that has to change: lead it straight to releases/VERSION, or take it over with adopt in its own root; it is tried again by itself',
    'later',
  ),
  ADOPT_IMPOSSIBLE: refused(
    'operator',
    'the folder stays as it is and is not updated: mend what the message names, then restart the agent or run drover-robot adopt',
    'later',
  ),
  RELEASE_LOST: refused(
    'operator',
    'find out who removed the release; a newer version or drover-robot recover --root DIR --no-boot leads on',
    'later',
  ),
  RELEASE_IN_THE_WAY: refused(
    'operator',
    'move the folder that the message names away (mv FOLDER ELSEWHERE), or publish another version; the update is tried again by itself',
    'later',
  ),
} as const satisfies Record<string, CatalogueEntry>;
