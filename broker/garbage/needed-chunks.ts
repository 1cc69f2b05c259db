/**
 * What is announced, for the garbage collector: out of the control store, verified once more. A
 * stored announcement that this trust file does not hold for, or none at all, is a doubt and not an
 * empty list: an announcement that lists nothing has to be signed as well.
 */

import { openAnnouncement } from '../../shared/formats/announcement.ts';
import { allChunksOf, type ReadChunk } from '../../shared/formats/bundle-chunks.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { NeededChunks } from './collector.ts';
import type { ControlStore } from '../control/control-store.ts';

/** @param read a chunk of the announced, wherever it can be had */
export function announcedChunks(
  control: ControlStore,
  trust: TrustRoot,
  read: ReadChunk,
): NeededChunks {
  const stored = (): Uint8Array | null => control.get(UPDATES_TOPIC)?.payload ?? null;
  return {
    basis: stored, // each that is stored is an object of its own
    read: async () => {
      const bytes = stored();
      if (!bytes) throw new DroverError('NOT_FOUND', 'read what is announced: nothing is, yet');
      return await allChunksOf(openAnnouncement(bytes, trust).rollouts, read);
    },
  };
}
