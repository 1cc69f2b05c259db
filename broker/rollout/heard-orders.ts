/**
 * Takes the announcement and the progress that the carrier holds: verified, current, and never
 * older than what arrived before.
 */

import { openAnnouncement, type Announcement } from '../../shared/formats/announcement.ts';
import { signersOf } from '../../shared/formats/envelope.ts';
import type { Progress } from '../../shared/formats/progress.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { assertTimely } from '../../shared/rules/freshness.ts';
import { isAbout } from '../../shared/rules/release-identity.ts';
import { plansOf, type RolloutPlan, type RolloutRun } from './record.ts';
import { takeOver } from './takeover.ts';
import { ToldProgress } from './told-progress.ts';
import type { withdraw } from './transitions.ts';

interface HeardOptions {
  readonly trust: TrustRoot;
  now(): EpochMs;
  /** Called for each announcement that is accepted. */
  onAnnouncement(announcement: Announcement, payload: Uint8Array): void;
}

export interface NewerRecord {
  readonly run: RolloutRun;
  /** Ids of the keys that signed the progress behind the record. */
  readonly signers: readonly string[];
}

export class HeardOrders {
  readonly #options: HeardOptions;
  readonly #told = new ToldProgress();
  #seq = 0;
  plans: ReadonlyMap<string, RolloutPlan> = new Map();
  /** Names the keys that signed the current announcement. */
  announcedBy = '';

  constructor(options: HeardOptions) {
    this.#options = options;
  }

  /** @throws DroverError ENVELOPE_*, ANNOUNCEMENT_INVALID, FLEET_WRONG, ANNOUNCEMENT_AHEAD */
  takeAnnouncement(payload: Uint8Array): void {
    const { trust, now, onAnnouncement } = this.#options;
    const announcement = openAnnouncement(payload, trust);
    assertTimely({ kind: 'announcement', ...announcement }, trust, now());
    // A carrier may replay an old one, which would end what was announced since.
    if (announcement.seq < this.#seq) return;
    this.#seq = announcement.seq;
    onAnnouncement(announcement, payload);
    this.plans = new Map(
      plansOf(announcement, trust).map((plan) => [plan.rollout.id, this.#asFirstSigned(plan)]),
    );
    this.announcedBy = `key ${signersOf(payload, trust.roles.rollout).join(', ')}`;
  }

  /** An announcement that only renews a rollout, or adds another, does not move its beginning. */
  #asFirstSigned(plan: RolloutPlan): RolloutPlan {
    const known = this.plans.get(plan.rollout.id);
    const isSame = known?.release === plan.release && known.signedAtMs !== undefined;
    return isSame ? { ...plan, signedAtMs: known.signedAtMs } : plan;
  }

  /** @throws DroverError ENVELOPE_*, PROGRESS_INVALID, FLEET_WRONG, ANNOUNCEMENT_AHEAD */
  takeProgress(payload: Uint8Array): Progress {
    const { trust, now } = this.#options;
    return this.#told.take(payload, { trust, now: now(), isAnnounced: (id) => this.plans.has(id) });
  }

  /**
   * The record that the leader's progress makes, with the keys that signed it. Null when our own
   * record is as new, or when the progress is about another release.
   */
  newerThan(run: RolloutRun | null, plan: RolloutPlan, now: EpochMs): NewerRecord | null {
    const told = this.#told.get(plan.rollout.id);
    if (!told || !isAbout(told.progress, plan.release)) return null;
    const newer = takeOver(run, plan, told.progress, now);
    return newer && { run: newer, signers: told.signers };
  }

  /** Highest progress `seq` that robots may have for this rollout id, whatever its release. */
  floorOf(rollout: string): number {
    return this.#told.get(rollout)?.progress.seq ?? 0;
  }

  /** `seq` of the current announcement; 0 for none. */
  get seq(): number {
    return this.#seq;
  }

  /** Names the keys that ended the announcement of a rollout, and the rollout that follows it. */
  endOf({ rollout }: RolloutRun): Parameters<typeof withdraw>[2] {
    const all = [...this.plans.values()].map((one) => one.rollout);
    const successor = all.find((one) => one.supersedes.some((id) => id === rollout)) ?? null;
    return { by: this.announcedBy, successor, seq: this.#seq };
  }

  /**
   * The keys have changed: earlier progress counts for nothing, and any new announcement is newer.
   */
  forget(): void {
    this.#told.clear();
    this.#seq = 0;
  }
}
