/**
 * The effect of phase `waiting` for a component of a set over several computers. It becomes ready
 * when the leader asks, says so by a state on its disk (`prepared`), and is bound from then on: it
 * waits for the decision, also when the leader is away for long. The application runs meanwhile.
 */

import { assertStaged, assertSwappable } from './assert-swappable.ts';
import type { EffectContext } from './effect-context.ts';
import type { MachineEvent } from './machine.ts';
import type { SetSeat } from './set-board.ts';
import type { Job } from './state.ts';
import { wayBackFrom } from './way-back.ts';

type JointContext = EffectContext & { readonly set: SetSeat };

interface Asking {
  /** Asks whether this component may be stopped now, and waits until it may. */
  readonly askNow: () => Promise<MachineEvent>;
  /** False while the robot has no place of the budget of its rollout. */
  readonly hasPlace: () => boolean;
}

export async function askJoint(
  job: Job,
  on: JointContext,
  { askNow, hasPlace }: Asking,
): Promise<MachineEvent> {
  if (job.commitId !== null) return await follow(job, on);
  for (;;) {
    const commitId = await on.set.untilAsked(on);
    const event = await askNow();
    if (event.kind !== 'ready') return event;
    // The component may have been busy for so long that the leader has given up this round.
    const isAsked = on.set.openId === commitId;
    if (isAsked && hasPlace()) return { kind: 'prepared', commitId };
    on.claim?.release();
    if (isAsked) await on.place?.untilGranted(job, on);
  }
}

/** Follows the decision: nothing is asked of the application any more. */
async function follow(job: Job, on: JointContext): Promise<MachineEvent> {
  if ((await on.set.untilDecided(on)) === 'release') {
    on.claim?.release();
    return { kind: 'released' };
  }
  await on.claim?.take('swap', on, job.set?.id);
  const { disk, layout } = on;
  await assertStaged(disk, layout, { version: job.version, mayHash: () => false });
  const slots = await assertSwappable(disk, layout);
  const holders = on.leases?.holders ?? [];
  return { kind: 'ready', holders, ...(await wayBackFrom(disk, layout, slots)) };
}
