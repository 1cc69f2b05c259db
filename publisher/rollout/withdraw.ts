/**
 * Removes an ended rollout from the announcement: the list is read, planned without it, signed and
 * published, as `publish` does. Robots keep what they run.
 */

import { openStatuses } from './active-rollouts.ts';
import { assertMayAnnounce, bringOut } from './announce.ts';
import { seqToFollow } from './next-seq.ts';
import { planWithdrawal, type AnnouncementPlan } from './plan-announcement.ts';
import { AnnouncementBoard } from './announcements.ts';
import { BrokerLink } from '../transfer/broker-link.ts';
import { openPrevious, type PublishJob } from './publish.ts';

export interface WithdrawJob extends Pick<
  PublishJob,
  'trust' | 'signers' | 'announcementOut' | 'broker' | 'lifeMs' | 'dryRun' | 'log'
> {
  readonly id: string;
  /** Called before it is announced. @throws DroverError USAGE unless a person says yes */
  confirm(): Promise<void>;
}

/** @throws DroverError NOT_FOUND, ROLLOUT_OVERLAP, SEQ_CONFLICT, BROKER_REFUSED and others */
export async function withdrawRollout(job: WithdrawJob): Promise<AnnouncementPlan> {
  assertMayAnnounce(job);
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    const board = await AnnouncementBoard.open(link);
    try {
      plan(board, job);
      if (!job.dryRun) await job.confirm();
      const { current } = board;
      const next = plan(board, job);
      if (!job.dryRun) await bringOut(next.fields, { board, current }, job);
      return next;
    } finally {
      board.close();
    }
  } finally {
    await link.close();
  }
}

function plan(board: AnnouncementBoard, job: WithdrawJob): AnnouncementPlan {
  const statuses = openStatuses(board.progress, job.trust, (error) =>
    job.log.warn({ reason: String(error) }, 'a progress message does not verify: ignored'),
  );
  const now = Date.now();
  const previous = openPrevious(board.current, { ...job, replaceInvalid: false });
  return planWithdrawal({
    id: job.id,
    now,
    fleet: job.trust.fleet,
    lifeMs: job.lifeMs,
    previous: previous && { ...previous, seq: seqToFollow(previous, { robots: [], now }) },
    statuses,
  });
}
