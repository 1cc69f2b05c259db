/**
 * The stage `publish`: a signed bundle becomes chunks that a broker provably holds, and then, as
 * the LAST step, one line in the announcement. Robots can always fetch a rollout that they see; a
 * publish that stops half-way has announced nothing.
 * The bundle is verified as robots will verify it before a connection is opened. The rollout is
 * planned before a byte is uploaded, and again just before it is announced.
 */

import {
  encodeAnnouncement,
  type AnnouncementFields,
  type RolloutFields,
} from '../../shared/formats/announcement.ts';
import { verifyBundle, type VerifiedBundle } from '../../shared/formats/bundle-signature.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { countOf } from '../../shared/base/printable.ts';
import type { Bundle } from '../../shared/io/bundle-folder.ts';
import type { Output } from '../../shared/io/cli.ts';
import type { Manifest } from '../../shared/formats/manifest.ts';
import type { RobotState } from '../../shared/formats/messages.ts';
import type { Log } from '../../shared/base/ports.ts';
import {
  assertCountsUsers,
  assertGrantsPlaces,
  openActiveRollouts,
  openLeader,
  openStatuses,
  plannedRollouts,
  type LeaseHolder,
} from './active-rollouts.ts';
import { assertMayAnnounce, bringOut } from './announce.ts';
import type { AnnounceWith } from './pending-announcement.ts';
import { forecastOf, forecastText, isUseless, type Forecast } from './forecast.ts';
import { reportedSeq, seqToFollow } from './next-seq.ts';
import { planAnnouncement, type AnnouncementPlan } from './plan-announcement.ts';
import { assertChunkBytes, planRollout, type Audience } from './plan-rollout.ts';
import { AnnouncementBoard } from './announcements.ts';
import { BrokerLink, type BrokerLinkOptions } from '../transfer/broker-link.ts';
import { makeMeter } from '../bundle/progress-meter.ts';
import { checkAttachments, wholeAttachments } from '../bundle/attachments.ts';
import { readLogProof } from '../bundle/log-proof-part.ts';
import { checkDeltas } from '../bundle/deltas/delta-parts.ts';
import {
  assertPayloadIs,
  chunkFile,
  chunkPayload,
  type ChunkedPayload,
} from '../bundle/payload.ts';
import { countPayload, tellAttributes } from '../bundle/payload-census.ts';
import { readRobots } from './robot-states.ts';
import { storeChunks, type StoredChunks } from '../transfer/store-chunks.ts';
import { UploadJournal } from '../transfer/journal.ts';

const NAMES_TOLD_MAX = 10;

export interface PublishJob extends AnnounceWith {
  readonly bundle: Bundle;
  readonly journalPath: string;
  readonly broker: BrokerLinkOptions;
  readonly rolloutId: string;
  readonly audience: Audience;
  readonly chunkBytes: number;
  readonly lifeMs: number;
  readonly supersede: readonly string[];
  readonly alongside: boolean;
  /** Announces although no robot would take it, or robots report other bytes under its version. */
  readonly anyway?: boolean;
  /** Called with the forecast before a byte is sent; null when it is unknown. */
  onForecast?(found: Forecast | null): void;
  /** Starts a new list when the current announcement does not verify. */
  readonly replaceInvalid: boolean;
  /** Stores the chunks, announces nothing. */
  readonly uploadOnly: boolean;
  /** It came over an air gap, and may have lost attachments on its way. */
  readonly isCarried?: boolean;
  /** The air-gap file that the bundle came in. */
  readonly imported?: { readonly seq: number };
  readonly dryRun: boolean;
  /**
   * In a dry run of several publishes: the announcement after the earlier ones, which is not sent.
   */
  readonly after?: AnnouncementFields;
  /**
   * Called with the rollouts that end, before anything is sent, and again when more have to end by
   * then.
   * @throws DroverError USAGE unless a person says yes
   */
  readonly confirm?: (superseded: readonly string[]) => Promise<void>;
  readonly output: Output;
  readonly log: Log;
}

export interface Published {
  readonly payload: ChunkedPayload;
  readonly deltas: readonly ChunkedPayload[];
  /** Null for a dry run. */
  readonly stored: StoredChunks | null;
  /** Null with uploadOnly. */
  readonly announced: {
    readonly fields: AnnouncementFields;
    readonly plan: AnnouncementPlan;
    readonly rollout: RolloutFields;
  } | null;
  /** How robots will react to it; null when that is unknown. */
  readonly forecast: Forecast | null;
  /** The leader of this fleet's rollouts; null when nothing is announced. */
  readonly leader: LeaseHolder | null;
}

/**
 * [P-5.7]
 * @throws DroverError of any step; nothing is announced then, except after SEQ_CONFLICT or
 *   BROKER_REFUSED of the announcement itself
 */
export async function publishBundle(job: PublishJob): Promise<Published> {
  assertChunkBytes(job.chunkBytes);
  if (!job.uploadOnly) assertMayAnnounce(job);
  const prepared = await prepareBundle(job);
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    return await publishOver(link, job, prepared);
  } finally {
    await link.close();
  }
}

/** Verifies a bundle as robots will, cuts it into chunks, and plans its rollout. */
export async function prepareBundle(job: PublishJob): Promise<Prepared> {
  const payload = await chunkPayload(job.bundle, job.chunkBytes);
  const verified = verifyAll(job, payload);
  const census = await countPayload(job.bundle).catch(() => null);
  tellAttributes(census, job.bundle.manifest.version, job.log);
  const logProof = (await readLogProof(job.bundle))?.text ?? null;
  const stored = { payload, ...(await chunkOthers(job)), logProof };
  const rollout = planRollout(job.rolloutId, verified, stored, job.audience);
  return { ...stored, verified, rollout };
}

/** Cuts deltas and attachments into chunks, like the payload. */
async function chunkOthers(job: PublishJob): Promise<Pick<Prepared, 'deltas' | 'attachments'>> {
  const { bundle, chunkBytes } = job;
  const deltas: ChunkedPayload[] = [];
  for (const { path, delta } of await checkDeltas(bundle)) {
    deltas.push(await chunkFile(path, delta.size, chunkBytes));
  }
  const parts = job.isCarried ? await checkAttachments(bundle) : await wholeAttachments(bundle);
  const attachments: Prepared['attachments'][number][] = [];
  for (const { attachment, path, bytes } of parts) {
    const { kind, size } = attachment;
    if (bytes === null) {
      job.log.warn({ attachment: kind, version: bundle.manifest.version }, 'not in this bundle');
      continue;
    }
    attachments.push({ ...(await chunkFile(path, size, chunkBytes)), kind });
  }
  return { deltas, attachments };
}

function verifyAll(job: PublishJob, payload: ChunkedPayload): VerifiedBundle {
  assertPayloadIs(job.bundle, payload);
  return verifyBundle({
    manifestBytes: job.bundle.manifestBytes,
    signatures: job.bundle.signatures,
    trust: job.trust,
    payloadSha256: payload.sha256,
  });
}

export interface Prepared {
  readonly payload: ChunkedPayload;
  readonly deltas: readonly ChunkedPayload[];
  readonly attachments: readonly (ChunkedPayload & { readonly kind: string })[];
  readonly verified: VerifiedBundle;
  readonly rollout: RolloutFields;
}

async function publishOver(
  link: BrokerLink,
  job: PublishJob,
  prepared: Prepared,
): Promise<Published> {
  const { payload, deltas } = prepared;
  if (job.uploadOnly) {
    const stored = job.dryRun ? null : await storeAll(link, job, prepared);
    return { payload, deltas, stored, announced: null, forecast: null, leader: null };
  }
  const [board, robots] = await Promise.all([
    AnnouncementBoard.open(link),
    readRobots(link, job.log),
  ]);
  try {
    // refused before gigabytes are sent
    const before = planNext(board, job, { ...prepared, robots });
    job.onForecast?.(before.forecast);
    assertWanted(before.forecast, job, prepared.verified.manifest);
    encodeAnnouncement(before.plan.fields); // refuses one that is too large
    if (job.dryRun) return published(before, prepared, null);
    await job.confirm?.(before.plan.superseded);
    const stored = await storeAll(link, job, prepared);
    const { current } = board;
    const next = planNext(board, job, { ...prepared, robots });
    const isMore = next.plan.superseded.some((id) => !before.plan.superseded.includes(id));
    if (isMore) await job.confirm?.(next.plan.superseded);
    await bringOut(next.plan.fields, { board, current }, job);
    return published(next, prepared, stored);
  } finally {
    board.close();
  }
}

function published(
  { plan, forecast, leader }: Planned,
  { payload, deltas, rollout }: Prepared,
  stored: StoredChunks | null,
): Published {
  const announced = { fields: plan.fields, plan, rollout };
  return { payload, deltas, stored, announced, forecast, leader };
}

/** The payload first: it is what every robot can take. */
export async function storeAll(
  link: BrokerLink,
  job: PublishJob,
  { payload, deltas, attachments }: Prepared,
): Promise<StoredChunks> {
  let total = await store(link, job, payload);
  for (const other of [...deltas, ...attachments]) {
    const { pieces, sent, sentBytes, healed } = await store(link, job, other);
    total = {
      pieces: total.pieces + pieces,
      sent: total.sent + sent,
      sentBytes: total.sentBytes + sentBytes,
      healed: total.healed + healed,
    };
  }
  return total;
}

async function store(
  link: BrokerLink,
  job: PublishJob,
  payload: ChunkedPayload,
): Promise<StoredChunks> {
  const journal = new UploadJournal(
    job.journalPath,
    { broker: job.broker.url, chunkIndex: payload.indexHash, pieces: payload.pieces.length },
    job.log,
  );
  const meter = (label: string, bytesTotal: number) => makeMeter(job.output, label, bytesTotal);
  return await storeChunks({ link, payload, journal, meter });
}

export interface Planned {
  readonly plan: AnnouncementPlan;
  readonly forecast: Forecast | null;
  readonly leader: LeaseHolder;
}

export function planNext(
  board: AnnouncementBoard,
  job: PublishJob,
  { verified, rollout, robots }: Prepared & { robots: readonly RobotState[] | null },
): Planned {
  const onInvalid = (error: unknown): void =>
    job.log.warn({ reason: String(error) }, 'a message of a controller does not verify: ignored');
  const statuses = openStatuses(board.progress, job.trust, onInvalid);
  const leader = openLeader(board.lease, job.trust, { now: Date.now(), onInvalid });
  assertCountsUsers(leader, rollout);
  assertGrantsPlaces(leader, rollout);
  const now = Date.now();
  const previous = job.after ? plannedRollouts(job.after) : openPrevious(board.current, job);
  const reported = reportedSeq(robots ?? [], job.trust, now);
  if (reported.ahead.length > 0) {
    const facts = { code: 'ANNOUNCEMENT_AHEAD', robots: reported.ahead.slice(0, NAMES_TOLD_MAX) };
    job.log.warn(facts, 'robots report a seq that is ahead of this clock: it is not followed');
  }
  const plan = planAnnouncement({
    now,
    fleet: job.trust.fleet,
    lifeMs: job.lifeMs,
    previous: previous && {
      ...previous,
      seq: seqToFollow(previous, { robots: robots ?? [], now }),
    },
    reportedSeq: reported.seq,
    rollout,
    manifest: verified.manifest,
    statuses,
    supersede: job.supersede,
    alongside: job.alongside,
    robots,
    ...(job.imported && { imported: job.imported }),
  });
  const forecast = robots && forecastOf(plan.fields, rollout.id, robots, now);
  return { plan, forecast, leader };
}

/**
 * A rollout that no robot would take is usually a mistake, and a budget that robots do not keep is
 * none.
 * @throws DroverError NO_ROBOT_TAKES_IT, VERSION_REUSED, BUDGET_UNKNOWN, START_UNKNOWN
 */
export function assertWanted(found: Forecast | null, job: PublishJob, manifest: Manifest): void {
  if (found === null || job.anyway === true) return;
  const what = `announce ${manifest.name} ${manifest.version}`;
  const other = found.robots.VERSION_REUSED;
  if (other.length > 0) {
    const why = `${robotsOf(other)} have other bytes under this version`;
    throw new DroverError('VERSION_REUSED', `${what}: ${why}`);
  }
  assertAsked(found, what);
  if (!isUseless(found)) return;
  const isBlocked = found.robots.FAILED_BEFORE.length > 0;
  throw new DroverError('NO_ROBOT_TAKES_IT', `${what}: ${forecastText(found)}`, {
    ...(isBlocked && {
      hint: `build it under a higher version, or on each of these robots: drover-robot unblock ${manifest.version}; to announce it all the same: --anyway`,
    }),
  });
}

/** Their number and the first names. */
const robotsOf = (robots: readonly string[]): string =>
  `${countOf(robots.length, 'robot')} (${robots.slice(0, 3).join(', ')}${robots.length > 3 ? ', …' : ''})`;

/** @throws DroverError BUDGET_UNKNOWN, START_UNKNOWN */
function assertAsked({ budgetUnasked, startUnasked }: Forecast, what: string): void {
  const unknown = (robots: readonly string[], why: string): string =>
    `${what}: ${robotsOf(robots)} ${why}`;
  if (budgetUnasked.length > 0) {
    const why = 'would go out of service whoever else is, the agent there knows no budget';
    throw new DroverError('BUDGET_UNKNOWN', unknown(budgetUnasked, why));
  }
  if (startUnasked.length === 0) return;
  const why = 'would take it at once, the agent there knows no start';
  throw new DroverError('START_UNKNOWN', unknown(startUnasked, why));
}

/** @throws DroverError when it does not verify, unless `replaceInvalid` */
export function openPrevious(
  bytes: Uint8Array | null,
  job: Pick<PublishJob, 'trust' | 'replaceInvalid' | 'log'>,
) {
  if (bytes === null) return null;
  try {
    return openActiveRollouts(bytes, job.trust);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    if (!job.replaceInvalid) {
      throw new DroverError(cause.code, `read what is announced now: ${cause.message}`, {
        cause,
        hint: 'after a rotation of keys give the newest trust.json and its key; else find out who wrote fleet/updates, and start a fresh list without it: --replace-invalid',
      });
    }
    job.log.warn(
      { reason: cause.message },
      'the current announcement does not verify, replacing it',
    );
    return null;
  }
}
