/**
 * At a boot, leads `active` of a component to the release that belongs to the system image that
 * runs. follow-plan.ts decides. The link comes before the state: on a full disk the application
 * still starts beside the system that it belongs to.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, nullIfFailed, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { SlotsNow } from '../boot/boot-slots.ts';
import { writeSlotWord } from '../boot/slot-word.ts';
import type { ImageSide } from '../boot/system-image.ts';
import type { Disk } from '../install/disk-port.ts';
import { releaseFolder, type Layout } from '../install/layout.ts';
import { readSlots } from '../install/read-slots.ts';
import { checkRelease } from '../install/seal-check.ts';
import { versionOf } from '../install/slots.ts';
import {
  fellBack,
  followingJob,
  leadsOf,
  planFollow,
  slotRuns,
  type FollowPlan,
} from '../update/follow-plan.ts';
import type { MachineEvent } from '../update/machine.ts';
import type { MachineState } from '../update/state.ts';
import { swapBack, swapTo } from '../update/swap.ts';
import type { RecoveryWords } from './recovery-words.ts';

export interface FollowInput {
  readonly component: string;
  readonly disk: Disk;
  readonly layout: Layout;
  readonly state: MachineState;
  readonly words: RecoveryWords;
  /** Left out without `--boot`. */
  readonly image?: ImageSide | undefined;
  /** False when a person runs it and nothing boots. */
  readonly isBoot: boolean;
  /** Steps and persists. */
  keep(event: MachineEvent): Promise<unknown>;
}

type Following = NonNullable<ReturnType<typeof followingJob>>;

/**
 * @returns null for a component that follows no image; else what was done, and the agent goes on
 */
export async function followImage(on: FollowInput): Promise<FollowPlan['event'] | null> {
  const job = followingJob(on.state);
  const isTold = job !== null && on.state.phase !== 'idle';
  const now = await slotsNow(on, isTold);
  if (job === null) return null;
  const { disk, layout, state, words } = on;
  const active = versionOf((await readSlots(disk, layout)).active);
  const runs = slotRuns(job.follows, now);
  const plan = planFollow({ phase: state.phase, runs, leads: leadsOf(job, active) });
  const isLed = plan.link === 'stays' || (await lead(plan.link, job, on));
  if (state.phase === 'idle' && plan.event === 'none') return null;
  const { version, follows } = job;
  const image = `the image ${follows.component} ${follows.version}`;
  if (runs === 'new' || runs === 'old')
    words.actions.push(`follows ${image}: slot ${now?.running} runs`);
  if (!isLed) return 'none';
  if (plan.event === 'swapped') {
    await on.keep({ kind: 'swapped' });
    words.actions.push(`finished the swap to ${version}`);
  }
  if (plan.event === 'undone') {
    const problem = fellBack(job);
    const kind = state.phase === 'idle' ? 'recalled' : 'unhealthy';
    await on.keep({ kind, problem });
    words.say(problem);
  }
  return plan.event;
}

/** True when `active` leads there now; a problem is noted. */
async function lead(to: 'new' | 'old', job: Following, on: FollowInput): Promise<boolean> {
  const { disk, layout, words } = on;
  const { version, previousVersion } = job;
  const done = await words.tried(async () => {
    const target = to === 'new' ? version : previousVersion;
    if (target !== null) await assertWhole(target, on);
    if (to === 'new') await swapTo(disk, layout, { ...job, isBooted: true });
    else {
      const kept = await swapBack(disk, layout, { ...job, previous: previousVersion });
      if (kept) words.say(kept);
    }
    words.actions.push(`led active to ${target ?? 'nothing'}, which belongs to the running slot`);
    return true;
  });
  return done ?? false;
}

/** @throws DroverError RELEASE_DAMAGED: a whole release is not left for one that lost files */
async function assertWhole(version: string, { disk, layout }: FollowInput): Promise<void> {
  const found = await checkRelease(disk, layout, {
    ...{ version, tree: releaseFolder(layout, version), known: new Set<string>() },
    ...{ mayHash: () => false, isOnlyLost: true },
  });
  if (found.kind !== 'damaged') return;
  const why = `${found.path}: ${found.why}`;
  throw new DroverError('RELEASE_DAMAGED', `lead active to ${version}: ${why}`);
}

/**
 * Asks the boot loader, and notes for the agent that it answered. Its tool may come up late.
 * @returns null when it is not known which slot runs: noted while a set with an image is at work
 */
async function slotsNow(on: FollowInput, isTold: boolean): Promise<SlotsNow | null> {
  const { image, disk, layout, words, component } = on;
  const no = (why: string): null => {
    const what = `follow the system image of ${component}'s set: ${why}`;
    const problem = toProblem(new DroverError('SET_IMAGE_UNREADY', what));
    if (isTold && on.isBoot) words.note(problem);
    else if (isTold) words.say(problem);
    return null;
  };
  if (!image) return no('drover-robot recover has no --boot');
  for (let nth = 1; ; nth += 1) {
    try {
      const now = await image.look();
      // A disk that refuses leaves no word: the agent takes no such set then.
      if (on.isBoot) {
        const word = { bootId: now.bootId, slot: now.running };
        await nullIfFailed(writeSlotWord(disk, layout, word));
      }
      return now;
    } catch (thrown) {
      if (!(thrown instanceof DroverError)) throw thrown;
      if (!isTold || nth >= LIMITS.slotAskTriesMax) {
        return no(`${toProblem(thrown).message} (${thrown.code})`);
      }
      await sleep(LIMITS.slotAskWaitMs);
    }
  }
}
