/**
 * Checks the signed approvals in an export of the audit chain, with the public keys of the people
 * who gave them. The chain is written by the broker; these signatures are not, so they show that a
 * person meant what an entry says, whoever wrote the chain. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { countOf } from '../../shared/base/printable.ts';
import { keyIdOf, type PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { openApproval, type SignedApproval } from '../../shared/formats/approval.ts';
import type { AuditRecord } from '../../shared/formats/audit-record.ts';

/** The kind of the entry about each command. */
const KINDS: Readonly<Record<SignedApproval['command'], string>> = {
  approve: 'rollout.approved',
  'force-open': 'rollout.forced',
};

export class SignatureCheck {
  readonly #keys: readonly PublicKeyHex[];
  readonly #counts = new Map<string, number>();
  #unknown = 0;

  constructor(keys: readonly PublicKeyHex[]) {
    this.#keys = keys;
  }

  /** @throws DroverError AUDIT_BROKEN for an entry that says something else than was signed */
  take(record: AuditRecord): void {
    const { signed } = record.facts;
    if (typeof signed !== 'string') return;
    for (const key of this.#keys) {
      const approval = openedBy(signed, key, record);
      if (approval === null) continue;
      assertSame(approval, record);
      const who = `${approval.user} (key ${keyIdOf(key)})`;
      this.#counts.set(who, (this.#counts.get(who) ?? 0) + 1);
      return;
    }
    this.#unknown += 1;
  }

  /** For programs. */
  counts(): { readonly checked: number; readonly not_checked: number } {
    const checked = [...this.#counts.values()].reduce((all, one) => all + one, 0);
    return { checked, not_checked: this.#unknown };
  }

  /** For people; empty where nothing in the chain is signed. */
  lines(): string[] {
    const held = [...this.#counts].map(
      ([who, count]) => `signed: ${countOf(count, 'entry', 'entries')} by ${who}`,
    );
    if (this.#unknown === 0) return held;
    const some = countOf(this.#unknown, 'entry is', 'entries are');
    return [...held, `${some} signed by keys that no --public-key names: not checked`];
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
  const { seq, subject, kind, by, facts } = record;
  const isUsers = by === approval.user || by.startsWith(`${approval.user} (`);
  const isSame = approval.rollout === subject && approval.wave === facts['wave'] && isUsers;
  if (isSame && KINDS[approval.command] === kind) return;
  throw broken(seq, 'holds the signature of another command than it says');
}

const broken = (seq: number, why: string): DroverError =>
  new DroverError('AUDIT_BROKEN', `verify audit chain: entry ${seq} ${why}`);
