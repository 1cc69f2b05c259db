/**
 * Decisions as the audit chain records them, made from what the parts of a broker know. Sans-I/O.
 */

import { nullIfRefused } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { keyIdOf } from '../../shared/crypto/ed25519.ts';
import type { Announcement } from '../../shared/formats/announcement.ts';
import { parseManifest, type Manifest } from '../../shared/formats/manifest.ts';
import type { RoleName, TrustRoot } from '../../shared/formats/trust.ts';
import { CHAIN_GAP, type AuditFacts, type AuditRecord } from '../../shared/formats/audit-record.ts';
import { countOf, printable } from '../../shared/base/printable.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import type { AuditEntry } from '../rollout/rollout-view.ts';

/** A decision before it has a number. */
export interface AuditedDecision {
  readonly kind: string;
  readonly subject: string;
  readonly by: string;
  readonly text: string;
  readonly facts?: AuditFacts;
}

/** A value that the chain keeps with the record, so that a start can compare. */
export interface Remembered {
  readonly key: string;
  readonly value: string;
}

export interface AuditSink {
  /**
   * Durable when it resolves, or logged and kept until the disk takes writes again. Never rejects:
   * a decision must not fail because its record cannot be written.
   */
  note(decision: AuditedDecision, remember?: Remembered): Promise<void>;
}

/** An entry of the history of a rollout, as far as the chain keeps it. */
export type RolloutEntry = Omit<AuditEntry, 'threshold' | 'evidence'>;

export const rolloutKey = (rollout: string): string => `rollout/${rollout}`;

export function rolloutDecision(entry: RolloutEntry): AuditedDecision {
  const { rollout, by, text, seq, at, wave, status, signed } = entry;
  const facts = { entry: seq, at, wave, status, ...(signed !== undefined && { signed }) };
  return { kind: `rollout.${entry.kind}`, subject: rollout, by, text, facts };
}

/** A user of the credentials file. */
export interface ListedUser {
  readonly username: string;
  readonly role: string;
  /** Public key that signs approvals of this user; absent for none. */
  readonly key?: string;
  /** Equal for equal entries; nothing can be read from it. */
  readonly mark: string;
}

/** With three bytes for each character a record stays within `auditRecordBytesMax`. */
const SUBJECT_CHARS = 255;
const BY_CHARS = 500;
const FILE = 'credentials file';
const CHANGES = ['added', 'changed', 'removed'] as const;

/**
 * Differences between two readings of the credentials file. Few are recorded one by one, many
 * robots as one record.
 * @param before null when no earlier reading is known
 */
export function userDecisions(
  before: readonly ListedUser[] | null,
  after: readonly ListedUser[],
): AuditedDecision[] {
  if (before === null) return [firstUsers(after), ...after.flatMap(firstKey)];
  const [old, now] = [byName(before), byName(after)];
  const found = {
    added: after.filter(({ username }) => !old.has(username)),
    changed: after.filter((one) => {
      const was = old.get(one.username);
      return was !== undefined && was.mark !== one.mark;
    }),
    removed: before.filter(({ username }) => !now.has(username)),
  };
  return CHANGES.flatMap((change) => {
    const users = found[change];
    const people = users.filter(({ role }) => role !== 'robot');
    const robots = users.filter(({ role }) => role === 'robot');
    const isMany = robots.length > LIMITS.auditNamesMax;
    const single = [...people, ...(isMany ? [] : robots)];
    return [
      ...single.map((user) => oneUser(change, user, old.get(user.username))),
      ...(isMany ? [manyRobots(change, robots)] : []),
    ];
  });
}

const byName = (users: readonly ListedUser[]): ReadonlyMap<string, ListedUser> =>
  new Map(users.map((user) => [user.username, user]));

function firstUsers(users: readonly ListedUser[]): AuditedDecision {
  const people = users.filter(({ role }) => role !== 'robot').map(named);
  const text = `the credentials file has ${countOf(users.length, 'user')} when the chain begins`;
  const facts = { users: users.length, people: people.slice(0, LIMITS.auditNamesMax) };
  return { kind: 'user.listed', subject: '', by: FILE, text, facts };
}

/** Of a user who has a key when the chain begins: an entry each, since a record is small. */
const firstKey = ({ username, role, key }: ListedUser): AuditedDecision[] =>
  key === undefined
    ? []
    : [
        {
          ...{ kind: 'user.listed', subject: username, by: FILE },
          text: `${role} ${username} has approval key ${keyIdOf(key)} when the chain begins`,
          facts: { role, approval_key: key },
        },
      ];

const named = ({ username, role }: ListedUser): string => `${username} (${role})`;

function oneUser(
  change: (typeof CHANGES)[number],
  { username, role, key }: ListedUser,
  before: ListedUser | undefined,
): AuditedDecision {
  const isOther = change !== 'removed' && key !== before?.key;
  const which = key === undefined ? 'no approval key any more' : `approval key ${keyIdOf(key)}`;
  const about = isOther ? `, with ${which}` : '';
  const text = `${role} ${username} was ${change} in the credentials file${about}`;
  const facts = { role, ...(key !== undefined && { approval_key: key }) };
  return { kind: `user.${change}`, subject: username, by: FILE, text, facts };
}

function manyRobots(
  change: (typeof CHANGES)[number],
  robots: readonly ListedUser[],
): AuditedDecision {
  const names = robots.map(({ username }) => username);
  const text = `${robots.length} robots were ${change} in the credentials file`;
  const facts = {
    role: 'robot',
    users: robots.length,
    first: names.slice(0, LIMITS.auditNamesMax),
  };
  return { kind: `user.${change}`, subject: '', by: FILE, text, facts };
}

/**
 * Another announcement is in force: other rollouts, or the same for a longer time.
 * @param keys ids of the keys that signed; null where the broker has no trust root to check it
 */
export function announcementDecision(
  announcement: Announcement | null,
  keys: readonly string[] | null,
): AuditedDecision {
  const by = keys === null ? 'not verified: no --trust' : `key ${keys.join(', ')}`;
  const kind = 'announcement.changed';
  if (!announcement) return { kind, subject: '', by, text: 'an announcement that cannot be read' };
  const { seq, rollouts } = announcement;
  const all = rollouts.map((one) => ({ one, manifest: manifestOf(one.manifest) }));
  const downgrades = all.filter(({ manifest }) => manifest?.downgrade_from !== undefined);
  const urgent = rollouts.filter(({ emergency }) => emergency);
  const facts = {
    seq,
    rollouts: all.map(
      ({ one, manifest }) => `${one.id} ${manifest?.name ?? '?'} ${manifest?.version ?? '?'}`,
    ),
    emergencies: urgent.map(({ id }) => id),
    downgrades: downgrades.map(({ one }) => one.id),
  };
  const words = [
    ...(urgent.length > 0 ? [`${urgent.length} as an emergency`] : []),
    ...(downgrades.length > 0 ? [`${downgrades.length} may downgrade robots`] : []),
  ];
  const more = words.length === 0 ? '' : ` (${words.join(', ')})`;
  const text = `announcement ${seq} has ${countOf(rollouts.length, 'rollout')}${more}`;
  return { kind, subject: '', by, text, facts };
}

const manifestOf = (bytes: Uint8Array): Manifest | null =>
  nullIfRefused(() => parseManifest(bytes));

/** @param before version in the record before; null for none */
export function trustDecision(
  { version, fleet, expires, roles }: TrustRoot,
  { before, keys }: { readonly before: string | null; readonly keys: readonly string[] },
): AuditedDecision {
  const by = keys.length === 0 ? 'trust.json of this broker' : `key ${keys.join(', ')}`;
  const was = before === null ? '' : ` after version ${before}`;
  const text = `trust root version ${version} of fleet ${fleet} is in force${was}`;
  const keyIds = (role: RoleName): string[] => roles[role].keys.map(keyIdOf);
  const facts = {
    ...{ version, expires: new Date(expires).toISOString() },
    ...{ root: keyIds('root'), release: keyIds('release'), rollout: keyIds('rollout') },
  };
  return { kind: 'trust.changed', subject: fleet, by, text, facts };
}

export const configDecision = (isFirst: boolean, facts: AuditFacts): AuditedDecision => ({
  ...{ kind: 'broker.configured', subject: '', by: 'command line of the broker', facts },
  text: isFirst ? 'the options of this broker' : 'the broker was started with other options',
});

export const retired = (robot: string, by: string): AuditedDecision => ({
  ...{ kind: 'robot.retired', subject: robot, by, text: `robot ${robot} is retired` },
});

export const sessionRemoved = (session: string, by: string): AuditedDecision => ({
  ...{ kind: 'session.removed', subject: session, by, text: `session ${session} is removed` },
});

const ENROLMENT_WORDS = {
  accepted: 'is accepted: it gets its credential when it asks again',
  refused: 'is refused: its claim is void',
  revoked: 'is revoked: its claim and its credential are void',
  enrolled: 'has a credential now',
  asked: 'asks with its claim and waits for a person',
} as const;

/** Recorded before it is done: the record says what was decided, also when a power cut follows. */
export const enrolmentDecision = (
  change: keyof typeof ENROLMENT_WORDS,
  robot: string,
  { by, ...facts }: { readonly by: string } & AuditFacts,
): AuditedDecision => ({
  ...{ kind: `enrolment.${change}`, subject: robot, by, facts },
  text: `robot ${robot} ${ENROLMENT_WORDS[change]}`,
});

const CERTIFICATE_WORDS = {
  issued: 'got a certificate',
  renewed: 'renewed its certificate: the one before is good until the new one is seen',
  replaced: 'uses its new certificate: the one before is void',
  adopted: 'has a certificate of ours that is newer than the restored backup: it is good',
  revoked: 'lost its certificate: it is revoked',
} as const;

/** Of one certificate of an enrolled robot. */
export interface CertificateChange {
  readonly change: keyof typeof CERTIFICATE_WORDS;
  readonly serial: string;
  /** ISO text. */
  readonly until: string;
  readonly key: string;
}

export const certificateDecision = (
  { change, serial, until, key }: CertificateChange,
  robot: string,
  by: string,
): AuditedDecision => ({
  ...{ kind: `certificate.${change}`, subject: robot, by, facts: { serial, until, key } },
  text: `robot ${robot} ${CERTIFICATE_WORDS[change]}`,
});

export function claimsDecision(robots: readonly string[], replace: boolean): AuditedDecision {
  const text = `${countOf(robots.length, 'claim was', 'claims were')} made`;
  const facts = { claims: robots.length, robots: robots.slice(0, LIMITS.auditNamesMax), replace };
  const subject = robots.length === 1 ? (robots[0] ?? '') : '';
  return { kind: 'enrolment.claimed', subject, by: 'drover-broker enrol', text, facts };
}

/** Decisions that are missing, as far as that is known. */
export const gap = (text: string, facts: AuditFacts = {}): AuditedDecision => ({
  ...{ kind: CHAIN_GAP, subject: '', by: 'broker', text, facts },
});

/** The record of a decision, within its bounds. */
export function recordOf(
  { kind, subject, by, text, facts = {} }: AuditedDecision,
  at: Pick<AuditRecord, 'seq' | 'at' | 'prev'>,
): AuditRecord {
  const isSmall = utf8(JSON.stringify(facts)).byteLength <= LIMITS.auditFactsBytesMax;
  return {
    v: 1,
    ...{ seq: at.seq, at: at.at, kind },
    subject: fit(subject, SUBJECT_CHARS),
    by: fit(by, BY_CHARS),
    text: fit(text, LIMITS.auditTextCharsMax),
    facts: isSmall ? facts : { left_out: 'the facts were too long' },
    prev: at.prev,
  };
}

/** Escapes make a text longer; a cut must not leave the half of a character. */
const fit = (text: string, charsMax: number): string => {
  const shown = printable(text, charsMax - 1);
  return shown.length <= charsMax ? shown : printable(shown.slice(0, charsMax - 2), charsMax - 1);
};
