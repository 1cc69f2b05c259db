/** Reads the garbage figures of a broker over HTTP, and signs announcements for the tests. */

import { readFile } from 'node:fs/promises';
import type { GarbageView } from '../../broker/garbage/ledger.ts';
import { type RolloutFields } from '../../shared/formats/announcement.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import type { Site } from './site.ts';
import { announcementNow } from '../helpers/sign-now.ts';

/** Above the numbers that `drover publish` takes, which are seconds, and no day ahead of them. */
export const LATER = Math.floor(Date.now() / 1_000) + 6 * 3_600;

export type Place = GarbageView['place'];

export interface Witness {
  readonly garbage: (place: Place) => Promise<GarbageView>;
  readonly storeChunks: () => Promise<number>;
  /** Waits until so many chunks were removed there since the start. */
  readonly removed: (place: Place, chunks: number) => Promise<GarbageView>;
}

export function witness(httpUrl: string, look: () => string): Witness {
  const garbage = async (place: Place): Promise<GarbageView> => {
    const answer = (await (await fetch(`${httpUrl}/garbage`)).json()) as {
      garbage: GarbageView[];
    };
    const found = answer.garbage.find((one) => one.place === place);
    if (!found) throw new Error(`no garbage of ${place}: ${JSON.stringify(answer)}`);
    return found;
  };
  return {
    garbage,
    storeChunks: async () => {
      const text = await (await fetch(`${httpUrl}/metrics`)).text();
      return Number(/^drover_store_chunks (\d+)$/m.exec(text)?.[1]);
    },
    removed: async (place, chunks) => {
      let last: unknown;
      return await waitUntil(
        `${chunks} chunks to be removed from ${place}`,
        async () => {
          const view = await garbage(place);
          last = view;
          return view.removed_chunks >= chunks ? view : null;
        },
        { timeoutMs: 40_000, look: () => `${JSON.stringify(last)}\n${look()}` },
      );
    },
  };
}

/** A signed announcement of these rollouts. */
export async function announce(
  site: Site,
  seq: number,
  rollouts: readonly RolloutFields[],
): Promise<Uint8Array> {
  const fields = {
    fleet: 'test',
    seq,
    issued_at: `${new Date().toISOString().slice(0, 19)}Z`,
    expires_at: '2099-01-01T00:00:00Z',
    rollouts: [...rollouts],
  };
  return announcementNow(fields, [new Uint8Array(await readFile(site.path('rollout.key')))]);
}
