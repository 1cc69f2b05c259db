/**
 * Decides which announced rollouts an export takes, and the content of its index. A stopped rollout
 * is exported only on request: at a site it would begin again. Sans-I/O.
 */

import type { Announcement, Rollout } from '../../shared/formats/announcement.ts';
import { bytesToBase64 } from '../../shared/crypto/bytes.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import { PARCEL_FORMAT, type ParcelMember, type ParcelIndexFields } from './parcel.ts';

export interface ExportChoice {
  readonly taken: readonly Rollout[];
  readonly left: readonly { readonly rollout: string; readonly status: string }[];
}

/**
 * @param only these rollouts; empty for all that were not stopped
 * @throws DroverError NOT_FOUND
 */
export function chooseRollouts(
  { rollouts }: Announcement,
  statuses: ReadonlyMap<string, Pick<Progress, 'status'>>,
  only: readonly string[],
): ExportChoice {
  for (const id of only) {
    if (rollouts.some((one) => one.id === id)) continue;
    const ids = rollouts.map((one) => one.id).join(', ');
    const got = ids === '' ? 'none' : ids;
    throw new DroverError('NOT_FOUND', `export rollout ${id}: it is not announced (got ${got})`);
  }
  const statusOf = (rollout: Rollout): string => statuses.get(rollout.id)?.status ?? 'announced';
  const isTaken = (rollout: Rollout): boolean =>
    only.length > 0
      ? only.includes(rollout.id)
      : !['halted', 'rolling_back'].includes(statusOf(rollout));
  return {
    taken: rollouts.filter(isTaken),
    left: rollouts
      .filter((one) => !isTaken(one))
      .map((one) => ({ rollout: one.id, status: statusOf(one) })),
  };
}

/** Two rollouts of one bundle share one copy of it. */
export const bundleKey = (manifestBytes: Uint8Array): string => bytesToBase64(manifestBytes);

/** The `seq` of exports follows their announcements, else the time. */
export function exportIndex(input: {
  readonly fleet: string;
  readonly announcement: Announcement | null;
  readonly members: readonly ParcelMember[];
  readonly now: EpochMs;
}): ParcelIndexFields {
  const { announcement, now } = input;
  return {
    kind: 'drover-export',
    format: PARCEL_FORMAT,
    fleet: input.fleet,
    seq: announcement?.seq ?? Math.floor(now / 1000),
    created_at: new Date(announcement?.issued_at ?? now).toISOString(),
    members: [...input.members],
  };
}
