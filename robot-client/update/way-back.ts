/** Looks at the releases that an update can be undone to; way-back-plan.ts decides. */

import { DroverError } from '../../shared/base/errors.ts';
import { releaseFolder, type Layout } from '../install/layout.ts';
import type { Disk } from '../install/disk-port.ts';
import type { ReleaseCheck } from '../install/seal.ts';
import { checkRelease } from '../install/seal-check.ts';
import { versionOf, type Slots } from '../install/slots.ts';
import { wholeReleases } from '../install/whole-releases.ts';
import { isLostJob, type Job } from './state.ts';
import { chooseOlder, isOther, planReturn, planWayBack, type WayBack } from './way-back-plan.ts';

const NONE: ReadonlySet<string> = new Set();

/** Only lost files count, since the application may write its own. */
const check = (disk: Disk, layout: Layout, version: string | null): Promise<ReleaseCheck> =>
  version === null
    ? Promise.resolve({ kind: 'absent' })
    : checkRelease(disk, layout, {
        ...{ version, tree: releaseFolder(layout, version), known: NONE },
        ...{ mayHash: () => false, isOnlyLost: true },
      });

/** The way back of an update that is about to swap. */
export async function wayBackFrom(disk: Disk, layout: Layout, slots: Slots): Promise<WayBack> {
  const active = await check(disk, layout, versionOf(slots.active));
  const isDamaged = active.kind === 'damaged';
  const rollback = isDamaged ? await check(disk, layout, versionOf(slots.rollback)) : null;
  return planWayBack(slots, { active: active.kind, rollback: rollback?.kind ?? 'unknown' });
}

/**
 * A release that was linked again and has no way back stays, since nothing would boot; one that
 * lost files meanwhile is left for an older one that is whole.
 */
async function staysOn(
  disk: Disk,
  layout: Layout,
  { job: { version }, failed }: { readonly job: Job; readonly failed: readonly string[] },
): Promise<string> {
  const { kind } = await check(disk, layout, version);
  if (kind === 'whole' || kind === 'unknown') return version;
  const whole = await wholeReleases(disk, layout);
  return chooseOlder(whole, { below: version, failed }) ?? version;
}

/**
 * The version that a job is undone to; null for nothing, as before a first install.
 * @param active what runs
 * @param failed versions that failed here
 * @throws DroverError RELEASE_DAMAGED when that would leave a whole version for a damaged one
 */
export async function returnFrom(
  disk: Disk,
  layout: Layout,
  on: { readonly job: Job; readonly active: string | null; readonly failed: readonly string[] },
): Promise<string | null> {
  const { job, active, failed } = on;
  const previous = job.previousVersion;
  if (previous === null) return isLostJob(job) ? await staysOn(disk, layout, on) : null;
  if (isOther(active, job)) return active;
  const target = await check(disk, layout, previous);
  if (target.kind === 'whole' || target.kind === 'unknown') return previous;
  const { kind: runs } = await check(disk, layout, active);
  const whole = await wholeReleases(disk, layout);
  const spare = chooseOlder(whole, { below: job.version, failed });
  const to = planReturn({ previous, found: target.kind, runs, spare });
  if (to !== null) return to;
  const why = target.kind === 'damaged' ? `${target.path}: ${target.why}` : target.kind;
  const message = `roll back to ${previous}: ${why}; ${active} runs on`;
  const unread = target.kind === 'damaged' ? target.unread : undefined;
  const cause = unread && new DroverError(unread.code, unread.message);
  throw new DroverError('RELEASE_DAMAGED', message, { cause });
}
