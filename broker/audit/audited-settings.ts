/**
 * Facts of a start that the audit chain records: options that say who may do what at this broker,
 * and what it does by itself. No secret is among them.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { keyIdOf } from '../../shared/crypto/ed25519.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { AuditFacts } from '../../shared/formats/audit-record.ts';
import type { BrokerSettings } from '../settings.ts';
import { shownUrl } from '../webhooks/post-message.ts';
import type { ListedUser } from './decision.ts';

export function auditedSettings(settings: BrokerSettings): AuditFacts {
  const { engine, lead, trust, host } = settings;
  const upstream = engine.kind === 'embedded' ? engine.upstream : null;
  return {
    host,
    engine: engine.kind === 'embedded' ? 'embedded' : engine.profile.name,
    is_relay: upstream !== null,
    has_credentials: settings.credentialsFile !== null,
    has_tls: settings.certificateFiles !== null,
    has_client_ca: (settings.certificateFiles?.clientCaFile ?? null) !== null,
    trust: trust?.version ?? null,
    has_log_policy: settings.logPolicy !== null,
    leads: lead !== null,
    rollout_keys: (lead?.signers ?? []).map(({ publicKey }) => keyIdOf(publicKey)),
    ...(settings.publicMqtt !== null && { public_mqtt: settings.publicMqtt }),
    notify: lead?.notify ?? null,
    webhooks: settings.webhooks.map(({ url }) => shownUrl(url)),
    keep_unannounced_s: settings.keepUnannouncedMs && settings.keepUnannouncedMs / 1000,
  };
}

/** The readings of a credentials file, as far as the chain needs them. */
export interface ReadUsers {
  names(): readonly Omit<ListedUser, 'mark'>[];
  describe(username: string): string | null;
}

/** Lists the users of each reading once. */
export function listed(read: () => ReadUsers | null): () => readonly ListedUser[] | null {
  let last: { readonly set: ReadUsers; readonly users: readonly ListedUser[] } | null = null;
  return () => {
    const set = read();
    if (set === null) return null;
    if (last?.set !== set) last = { set, users: usersOf(set) };
    return last.users;
  };
}

const usersOf = (set: ReadUsers): ListedUser[] =>
  set
    .names()
    .slice(0, LIMITS.credentialsMax)
    .map((one) => ({ ...one, mark: markOf(set.describe(one.username) ?? '') }));

/** Says that two states differ without keeping the first one. */
const markOf = (state: string): string => sha256Hex(utf8(state)).slice(0, 32);
