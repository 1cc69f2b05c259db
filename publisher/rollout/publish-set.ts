/**
 * Publishes several bundles as one set: all chunks are stored first, then one announcement brings
 * all rollouts, so no robot ever sees a part of the set.
 */

import { encodeAnnouncement, type RolloutSet } from '../../shared/formats/announcement.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { Bundle } from '../../shared/io/bundle-folder.ts';
import type { RobotState } from '../../shared/formats/messages.ts';
import type { LeaseHolder } from './active-rollouts.ts';
import { assertMayAnnounce, bringOut } from './announce.ts';
import { AnnouncementBoard } from './announcements.ts';
import { forecastOf, type Forecast } from './forecast.ts';
import { mergePlans, type AnnouncementPlan } from './plan-announcement.ts';
import { assertChunkBytes } from './plan-rollout.ts';
import {
  assertWanted,
  planNext,
  prepareBundle,
  storeAll,
  type Planned,
  type Prepared,
  type PublishJob,
} from './publish.ts';
import { readRobots } from './robot-states.ts';
import { inSet, planSet, stillActive } from './set-rules.ts';
import { BrokerLink } from '../transfer/broker-link.ts';
import type { StoredChunks } from '../transfer/store-chunks.ts';

export interface SetPartJob {
  readonly bundle: Bundle;
  readonly journalPath: string;
  readonly rolloutId: string;
}

type Common = Omit<
  PublishJob,
  'bundle' | 'journalPath' | 'rolloutId' | 'after' | 'isCarried' | 'imported' | 'onForecast'
>;

export interface SetJob extends Common {
  readonly setId: string;
  /** In the order in which a robot switches. */
  readonly parts: readonly SetPartJob[];
  /** Called once for each part before a byte is sent; null when it is unknown. */
  onForecasts?(part: SetPartJob, found: Forecast | null): void;
}

export interface PublishedPart {
  readonly part: SetPartJob;
  readonly prepared: Prepared;
  /** Null for a dry run. */
  readonly stored: StoredChunks | null;
  /** Null when it is unknown, or nothing is announced. */
  readonly forecast: Forecast | null;
}

export interface PublishedSet {
  readonly set: RolloutSet;
  readonly parts: readonly PublishedPart[];
  /** Null with uploadOnly. */
  readonly plan: AnnouncementPlan | null;
  readonly leader: LeaseHolder | null;
}

/**
 * [P-5.12]
 * @throws DroverError SETS_UNKNOWN, SET_IMAGES_UNKNOWN, SET_MIXED, and as `publishBundle`; nothing
 *   is announced then
 */
export async function publishSet(job: SetJob): Promise<PublishedSet> {
  assertChunkBytes(job.chunkBytes);
  if (!job.uploadOnly) assertMayAnnounce(job);
  const set = planSet(
    job.setId,
    job.parts.map(({ bundle, rolloutId }) => ({
      ...{ rolloutId, component: bundle.manifest.name, version: bundle.manifest.version },
      payloadSha256: bundle.manifest.payload_sha256,
      strategy: bundle.manifest.apply_strategy,
    })),
  );
  const prepared: Prepared[] = [];
  for (const part of job.parts) {
    const one = await prepareBundle({ ...job, ...part });
    prepared.push({ ...one, rollout: inSet(one.rollout, set) });
  }
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    return await new SetPublisher(link, job, { set, prepared }).run();
  } finally {
    await link.close();
  }
}

interface PlannedSet {
  readonly plan: AnnouncementPlan;
  readonly forecasts: readonly (Forecast | null)[];
  readonly leader: LeaseHolder;
}

class SetPublisher {
  readonly #link: BrokerLink;
  readonly #job: SetJob;
  readonly #set: RolloutSet;
  readonly #prepared: readonly Prepared[];

  constructor(
    link: BrokerLink,
    job: SetJob,
    { set, prepared }: { set: RolloutSet; prepared: readonly Prepared[] },
  ) {
    this.#link = link;
    this.#job = job;
    this.#set = set;
    this.#prepared = prepared;
  }

  async run(): Promise<PublishedSet> {
    const [link, job] = [this.#link, this.#job];
    if (job.uploadOnly) return this.#published(null, await this.#store());
    const [board, robots] = await Promise.all([
      AnnouncementBoard.open(link),
      readRobots(link, job.log),
    ]);
    try {
      const before = this.#plan(board, robots);
      before.forecasts.forEach((found, at) => {
        const part = job.parts[at];
        if (part) job.onForecasts?.(part, found);
      });
      this.#assertWanted(before);
      encodeAnnouncement(before.plan.fields); // refuses one that is too large
      if (job.dryRun) return this.#published(before, []);
      await job.confirm?.(before.plan.superseded);
      const stored = await this.#store();
      const { current } = board;
      const next = this.#plan(board, robots);
      const isMore = next.plan.superseded.some((id) => !before.plan.superseded.includes(id));
      if (isMore) await job.confirm?.(next.plan.superseded);
      await bringOut(next.plan.fields, { board, current }, job);
      return this.#published(next, stored);
    } finally {
      board.close();
    }
  }

  async #store(): Promise<StoredChunks[]> {
    const stored: StoredChunks[] = [];
    if (this.#job.dryRun) return stored;
    for (const [at, part] of this.#job.parts.entries()) {
      const prepared = this.#prepared[at];
      if (prepared) stored.push(await storeAll(this.#link, { ...this.#job, ...part }, prepared));
    }
    return stored;
  }

  /** Each rollout is planned after the one before it, into one announcement. */
  #plan(board: AnnouncementBoard, robots: readonly RobotState[] | null): PlannedSet {
    const job = this.#job;
    const planned: Planned[] = [];
    for (const [at, part] of job.parts.entries()) {
      const prepared = this.#prepared[at];
      if (!prepared) continue;
      const after = planned.at(-1)?.plan.fields;
      const supersede = after ? stillActive(job.supersede, after) : job.supersede;
      const own = { ...job, ...part, supersede, ...(after && { after }) };
      planned.push(planNext(board, own, { ...prepared, robots }));
    }
    const ids = job.parts.map(({ rolloutId }) => rolloutId);
    const plan = mergePlans(
      planned.map((one) => one.plan),
      ids,
    );
    const [first] = planned;
    if (!first) throw new TypeError('publishSet: a set has bundles');
    const now = Date.now();
    const forecasts = ids.map((id) => robots && forecastOf(plan.fields, id, robots, now));
    return { plan, forecasts, leader: first.leader };
  }

  /** @throws DroverError SETS_UNKNOWN, SET_IMAGES_UNKNOWN, NO_ROBOT_TAKES_IT, VERSION_REUSED */
  #assertWanted({ forecasts }: PlannedSet): void {
    for (const [at, part] of this.#job.parts.entries()) {
      assertWanted(forecasts[at] ?? null, { ...this.#job, ...part }, part.bundle.manifest);
    }
    if (this.#job.anyway === true) return;
    const unasked = new Set(forecasts.flatMap((one) => one?.setUnasked ?? []));
    this.#refuse(
      'SETS_UNKNOWN',
      unasked,
      'would take its bundles one by one, their agent knows no sets',
    );
    const others = new Set(forecasts.flatMap((one) => one?.imageUnasked ?? []));
    this.#refuse('SET_IMAGES_UNKNOWN', others, 'take no set with a system image');
  }

  #refuse(
    code: 'SETS_UNKNOWN' | 'SET_IMAGES_UNKNOWN',
    robots: ReadonlySet<string>,
    why: string,
  ): void {
    if (robots.size === 0) return;
    const names = [...robots].slice(0, 3).join(', ');
    throw new DroverError(
      code,
      `announce set ${this.#set.id}: ${robots.size} robots ${why} (${names})`,
    );
  }

  #published(planned: PlannedSet | null, stored: readonly StoredChunks[]): PublishedSet {
    const parts = this.#job.parts.flatMap((part, at): PublishedPart[] => {
      const prepared = this.#prepared[at];
      if (!prepared) return [];
      const forecast = planned?.forecasts[at] ?? null;
      return [{ part, prepared, stored: stored[at] ?? null, forecast }];
    });
    return { set: this.#set, parts, plan: planned?.plan ?? null, leader: planned?.leader ?? null };
  }
}
