/**
 * Records in the audit chain what changed at the inputs of a broker: the announcement, the trust
 * root, the users of the credentials file, the options of its start, and the history of rollouts.
 * The chain remembers the last state of each, so that a change is also recorded when it came while
 * the broker was stopped, or was killed before it could write.
 */

import { nullIfRefused } from '../../shared/base/errors.ts';
import { inBackground } from '../../shared/base/in-background.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SerialQueue } from '../../shared/base/serial-queue.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { peekAnnouncement } from '../../shared/formats/announcement.ts';
import type { AuditFacts } from '../../shared/formats/audit-record.ts';
import { signersOf } from '../../shared/formats/envelope.ts';
import { trustTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import type { AuditLog } from './audit-log.ts';
import {
  announcementDecision,
  configDecision,
  gap,
  rolloutDecision,
  rolloutKey,
  trustDecision,
  userDecisions,
  type RolloutEntry,
  type ListedUser,
} from './decision.ts';

/** The history of rollouts that the controller keeps. */
export interface KeptHistory {
  /** Number of the last entry of each rollout. */
  lastEntries(): Promise<ReadonlyMap<string, number>>;
  history(rollout: string, after: number, limit: number): Promise<RolloutEntry[]>;
}

export interface AuditSourcesOptions {
  readonly audit: AuditLog;
  /** Bytes of a retained message. */
  retained(topic: string): Uint8Array | null;
  readonly trust: TrustRoot | null;
  /** Users of the credentials file: the same array until the file was read again; null for none. */
  users(): readonly ListedUser[] | null;
  readonly log: Log;
}

export class AuditSources {
  readonly #options: AuditSourcesOptions;
  readonly #queue = new SerialQueue();
  #users: readonly ListedUser[] | null = null;
  #trust = 0;
  #isAsked = false;

  constructor(options: AuditSourcesOptions) {
    this.#options = options;
  }

  /** Compares all inputs but the history, later and once for all calls until then. */
  look(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    inBackground(this.#options.log, 'record changes in the audit chain', this.compare());
  }

  /** Resolves when all inputs were compared. */
  async compare(): Promise<void> {
    await this.#queue.run(async () => {
      this.#isAsked = false;
      await this.#compareUsers();
      await this.#compareTrust();
      await this.#compareAnnouncement();
    });
  }

  /** @param facts options that say who may do what here, and what the broker does by itself */
  async started(facts: AuditFacts): Promise<void> {
    const { audit } = this.#options;
    const value = JSON.stringify(facts);
    const before = await audit.recall('config');
    if (before === value) return;
    await audit.note(configDecision(before === null, facts), { key: 'config', value });
  }

  /** An entry that the controller has just written into the history. */
  async decided(entry: RolloutEntry): Promise<void> {
    const remember = { key: rolloutKey(entry.rollout), value: String(entry.seq) };
    await this.#options.audit.note(rolloutDecision(entry), remember);
  }

  /** Records the entries of the history that the chain lacks. */
  async catchUp(kept: KeptHistory): Promise<void> {
    const { audit } = this.#options;
    const last = await kept.lastEntries();
    for await (const [key] of audit.recalled(rolloutKey(''))) {
      if (!last.has(key.slice(rolloutKey('').length))) await audit.forget(key);
    }
    for (const [rollout, seq] of last) {
      const noted = Number((await audit.recall(rolloutKey(rollout))) ?? 0);
      if (noted !== seq) await this.#catchUpOne(kept, { rollout, noted, seq });
    }
  }

  async #catchUpOne(
    kept: KeptHistory,
    { rollout, noted, seq }: { rollout: string; noted: number; seq: number },
  ): Promise<void> {
    // A rollout that began again under the same id counts from one.
    const from = Math.max(noted > seq ? 0 : noted, seq - LIMITS.auditPageMax);
    const entries = await kept.history(rollout, from, LIMITS.auditPageMax);
    const missing = (entries[0]?.seq ?? seq + 1) - 1 - (noted > seq ? 0 : noted);
    if (missing > 0) {
      const text = `${missing} older entries of the history of ${rollout} are not in this chain`;
      await this.#options.audit.note(gap(text, { rollout, missing }));
    }
    await Promise.all(entries.map((entry) => this.decided(entry)));
  }

  async #compareUsers(): Promise<void> {
    const { audit } = this.#options;
    const users = this.#options.users();
    if (users === null || users === this.#users) return;
    const stored = await audit.recall('users');
    const before = stored === null ? null : (JSON.parse(stored) as ListedUser[]);
    const value = JSON.stringify(users);
    const decisions = stored === value ? [] : userDecisions(before, users);
    for (const [at, decision] of decisions.entries()) {
      const isLast = at === decisions.length - 1;
      await audit.note(decision, isLast ? { key: 'users', value } : undefined);
    }
    this.#users = users;
  }

  async #compareTrust(): Promise<void> {
    const { audit, trust, retained } = this.#options;
    if (!trust || trust.version === this.#trust) return;
    const value = String(trust.version);
    const before = await audit.recall('trust');
    if (before !== value) {
      const update = retained(trustTopic(trust.version));
      const keys = update && nullIfRefused(() => signersOf(update, trust.roles.root));
      await audit.note(trustDecision(trust, { before, keys: keys ?? [] }), { key: 'trust', value });
    }
    this.#trust = trust.version;
  }

  async #compareAnnouncement(): Promise<void> {
    const { audit, trust } = this.#options;
    const bytes = this.#options.retained(UPDATES_TOPIC);
    const value = bytes === null ? '' : sha256Hex(bytes);
    if (bytes === null || (await audit.recall('announcement')) === value) return;
    const announcement = nullIfRefused(() => peekAnnouncement(bytes));
    const keys = trust && nullIfRefused(() => signersOf(bytes, trust.roles.rollout));
    await audit.note(announcementDecision(announcement, keys), { key: 'announcement', value });
  }
}
