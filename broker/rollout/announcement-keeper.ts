/**
 * Renews the announcement of a fleet before it expires: a site keeps its rollouts even when its
 * publisher is silent for longer than an announcement lives. Only the leading controller does it.
 * control/expiry.ts decides when.
 */

import { instantText } from '../../shared/base/durations.ts';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import { toProblem } from '../../shared/base/errors.ts';
import type { EpochMs, MonoMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { assertKeysSatisfy } from '../../shared/rules/check-keys.ts';
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

  /** Stores the newest accepted announcement. */
  heard(announcement: Announcement, envelope: Uint8Array): void {
    if (announcement.seq === this.#current?.announcement.seq) return;
    const payload = openAnnouncementPayload(envelope, this.#options.trust);
    const raw = parseStrictJson(payload, 'announcement', LIMITS.announcementBytesMax);
    // `announcement` was parsed from the same bytes, so they have this shape.
    this.#current = { announcement, written: raw as unknown as AnnouncementFields };
    this.#triedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** The keys have changed: the announcement under the old ones has to arrive again. */
  forget(): void {
    this.#current = null;
  }

  /** The leading controller calls it often. Never rejects: a failure is logged and retried. */
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
      const expires = instantText(expires_at);
      log.warn({ seq, expires, problem: toProblem(error) }, 'could not announce again');
    }
  }
}
