/**
 * Announces again, in time, what a fleet is told: a site whose publisher rests for longer than the
 * life of an announcement keeps its rollouts. Only who leads does it. When: control/expiry.ts.
 */

import type { Signer } from '../../shared/crypto/signer.ts';
import { toProblem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { assertKeysSatisfy } from '../../shared/crypto/check-keys.ts';
import {
  openAnnouncementPayload,
  signAnnouncement,
  type Announcement,
  type AnnouncementFields,
} from '../../shared/formats/announcement.ts';
import { parseStrictJson } from '../../shared/formats/strict-json.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { assertTrustCurrent, type TrustRoot } from '../../shared/formats/trust.ts';
import { isDue, renewed, type Renewable } from '../control/expiry.ts';

export interface KeeperOptions {
  readonly trust: TrustRoot;
  readonly signers: readonly Signer[];
  readonly log: Log;
  now(): EpochMs;
  mono(): MonoMs;
  publish(topic: string, payload: Uint8Array): Promise<void>;
}

export class AnnouncementKeeper {
  readonly #options: KeeperOptions;
  #current: Renewable | null = null;
  #triedAtMs: MonoMs = Number.NEGATIVE_INFINITY;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** The newest one that was accepted. */
  heard(announcement: Announcement, envelope: Uint8Array): void {
    if (announcement.seq === this.#current?.announcement.seq) return;
    const payload = openAnnouncementPayload(envelope, this.#options.trust);
    const raw = parseStrictJson(payload, 'announcement', LIMITS.announcementBytesMax);
    // Of this shape: `announcement` was parsed from the same bytes.
    this.#current = { announcement, written: raw as unknown as AnnouncementFields };
    this.#triedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Other keys are in force: what was announced under the old ones has to come again. */
  forget(): void {
    this.#current = null;
  }

  /** To be called often, by who leads. Never rejects: a failure is logged and tried again. */
  async renew(): Promise<void> {
    const { trust, signers, log, now, mono, publish } = this.#options;
    const current = this.#current;
    if (!current || !isDue(current, now())) return;
    if (mono() - this.#triedAtMs < LIMITS.renewRetryMs) return;
    this.#triedAtMs = mono();
    try {
      assertTrustCurrent(trust, now());
      assertKeysSatisfy(signers, 'rollout', trust);
      const fields = renewed(current, now());
      await publish(UPDATES_TOPIC, await signAnnouncement(fields, signers));
      log.info(
        { seq: fields.seq, expires: fields.expires_at },
        'announced again before it expired',
      );
    } catch (error) {
      const { seq, expires_at } = current.announcement;
      const expires = new Date(expires_at).toISOString();
      log.warn({ seq, expires, problem: toProblem(error) }, 'could not announce again');
    }
  }
}
