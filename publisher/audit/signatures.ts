/**
 * Checks the signed approvals in an export of the audit chain, with the public keys of the people
 * who gave them. The chain is written by the broker; these signatures are not, so they show that a
 * person meant what an entry says, whoever wrote the chain. They do not show what was left out of
 * it. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { countOf } from '../../shared/base/printable.ts';
import { keyIdOf, type PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { openApproval, type SignedApproval } from '../../shared/formats/approval.ts';
import type { AuditRecord } from '../../shared/formats/audit-record.ts';

/** The kind of the entry about each command. */
const KINDS: Readonly<Record<SignedApproval['command'], string>> = {
  approve: 'rollout.approved',
  'force-open': 'rollout.forced',
};

/** A key that the verifier got from a person; `user` says whose it is, null for not said. */
export interface KnownKey {
  readonly user: string | null;
  readonly key: PublicKeyHex;
}

export class SignatureCheck {
  readonly #keys: readonly KnownKey[];
  /** Users by their key: as the verifier says, else as the first signature does. */
  readonly #owners: Map<PublicKeyHex, string>;
  /** Users that have a key at this entry. */
  readonly #holders = new Set<string>();
  /** All keys that a user had so far: a start may write an older approval after a newer key. */
  readonly #keysOf = new Map<string, Set<string>>();
  readonly #used = new Map<string, number>();
  readonly #counts = new Map<string, number>();
  #fleet: string | null = null;
  #unknown = 0;
  #unsigned = 0;
  /** Entries whose own time is far from that of the approval: numbers and both times. */
  readonly #apart: string[] = [];

  constructor(keys: readonly KnownKey[]) {
    this.#keys = keys;
    const said = keys.flatMap(({ user, key }) => (user === null ? [] : [[key, user] as const]));
    this.#owners = new Map(said);
    for (const [, user] of said) this.#holders.add(user);
  }

  /** @throws DroverError AUDIT_BROKEN for an entry that says something else than was signed */
  take(record: AuditRecord): void {
    this.#readUsers(record);
    const { signed } = record.facts;
    if (typeof signed !== 'string') {
      const isOpening = Object.values(KINDS).includes(record.kind);
      if (isOpening && this.#holders.has(userIn(record))) this.#unsigned += 1;
      return;
    }
    for (const { key } of this.#keys) {
      const approval = openedBy(signed, key, record);
      if (approval === null) continue;
      assertSame(approval, record);
      this.#assertOwn(approval, key, record);
      this.#assertFirst(approval, record);
      if (isApart(record)) this.#apart.push(timesOf(record));
      const who = `${approval.user} (key ${keyIdOf(key)})`;
      this.#counts.set(who, (this.#counts.get(who) ?? 0) + 1);
      return;
    }
    this.#unknown += 1;
  }

  /** For programs. */
  counts(): {
    readonly checked: number;
    readonly not_checked: number;
    readonly unsigned: number;
    readonly time_apart: number;
  } {
    const checked = [...this.#counts.values()].reduce((all, one) => all + one, 0);
    return {
      checked,
      not_checked: this.#unknown,
      unsigned: this.#unsigned,
      time_apart: this.#apart.length,
    };
  }

  /** For people; empty where nothing in the chain is signed. */
  lines(): string[] {
    const held = [...this.#counts].map(
      ([who, count]) => `signed: ${countOf(count, 'entry', 'entries')} by ${who}`,
    );
    const unknown = countOf(this.#unknown, 'entry is', 'entries are');
    const unsigned = countOf(this.#unsigned, 'entry', 'entries');
    const has = this.#unsigned === 1 ? 'has' : 'have';
    return [
      ...held,
      ...(this.#unknown === 0
        ? []
        : [`${unknown} signed by keys that no --public-key names: not checked`]),
      ...(this.#unsigned === 0
        ? []
        : [
            `${unsigned} of users with a key ${has} no signature: given before the key, or cut out`,
          ]),
      ...this.#apart
        .slice(0, LIMITS.auditNamesMax)
        .map((times) => `${times}: a broker writes late after a full disk or a restart, else not`),
    ];
  }

  /** Keys as the broker read them: whoever writes the chain can change these entries too. */
  #readUsers({ kind, subject, facts }: AuditRecord): void {
    if (kind === 'trust.changed') this.#fleet = subject;
    if (!kind.startsWith('user.') || subject === '') return;
    const key = facts['approval_key'];
    const keys = this.#keysOf.get(subject) ?? new Set();
    this.#keysOf.set(subject, keys);
    if (typeof key !== 'string' || kind === 'user.removed') {
      this.#holders.delete(subject);
      return;
    }
    this.#holders.add(subject);
    keys.add(key);
  }

  #assertOwn({ user, fleet }: SignedApproval, key: PublicKeyHex, { seq }: AuditRecord): void {
    const owner = this.#owners.get(key) ?? user;
    this.#owners.set(key, owner);
    if (owner !== user) throw broken(seq, `names ${user}, and its key is that of ${owner}`);
    if (this.#keysOf.get(user)?.has(key) === false) {
      throw broken(seq, `is signed by another key than ${user} had by then`);
    }
    this.#fleet ??= fleet;
    if (fleet === this.#fleet) return;
    throw broken(seq, `is signed for fleet ${fleet}, and this is ${this.#fleet}`);
  }

  /** A broker takes each document once. */
  #assertFirst(approval: SignedApproval, { seq }: AuditRecord): void {
    const document = JSON.stringify(approval);
    const before = this.#used.get(document);
    if (before !== undefined) throw broken(seq, `has the signature of entry ${before} again`);
    this.#used.set(document, seq);
  }
}

/** Null for the signature of another key. */
function openedBy(text: string, key: PublicKeyHex, { seq }: AuditRecord): SignedApproval | null {
  try {
    return openApproval(text, key);
  } catch (error) {
    if (!(error instanceof DroverError)) throw error;
    if (error.code === 'APPROVAL_KEY_WRONG') return null;
    throw broken(seq, `has a signature that does not hold (${error.message})`);
  }
}

function assertSame(approval: SignedApproval, record: AuditRecord): void {
  const { seq, subject, kind, facts } = record;
  const isUsers = userIn(record) === approval.user;
  const isSame = approval.rollout === subject && approval.wave === facts['wave'] && isUsers;
  if (!isSame || !saysSo(approval, record.text) || KINDS[approval.command] !== kind) {
    throw broken(seq, 'holds the signature of another command than it says');
  }
  const at = typeof facts['at'] === 'string' ? Date.parse(facts['at']) : Number.NaN;
  const { issued_at: issued, expires_at: expires } = approval;
  const isTimely = at >= issued - LIMITS.aheadMsMax && at <= expires + LIMITS.auditWriteMsMax;
  if (isTimely && expires - issued <= LIMITS.approvalLifeMs) return;
  const hour = `from ${instantText(issued)} until ${instantText(expires)}`;
  throw broken(seq, `holds a signature that was not good then (${hour})`);
}

/** A person reads the text: its first words are those that a broker writes for this command. */
function saysSo({ command, wave, user }: SignedApproval, text: string): boolean {
  const words = `${command} of wave ${wave} by ${user}`;
  return text.startsWith(words) && !/^[\w.-]/.test(text.slice(words.length));
}

/**
 * A broker stamps an entry when it writes it. `facts.at` is the moment of the approval, which the
 * signature holds to its hour; the time of the entry is held by the chain alone.
 */
function isApart({ at, facts }: AuditRecord): boolean {
  const given = typeof facts['at'] === 'string' ? Date.parse(facts['at']) : Number.NaN;
  return !(Math.abs(Date.parse(at) - given) <= LIMITS.auditWriteMsMax);
}

const timesOf = ({ seq, at, facts }: AuditRecord): string =>
  `entry ${seq} was written at ${at}, and its approval was given at ${String(facts['at'])}`;

/** A name that the request gave stands behind that of the user, in parentheses. */
const userIn = ({ by }: AuditRecord): string => by.split(' (', 1)[0] ?? by;

const broken = (seq: number, why: string): DroverError =>
  new DroverError('AUDIT_BROKEN', `verify audit chain: entry ${seq} ${why}`);
