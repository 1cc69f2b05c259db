/**
 * Decides whether a command that opens a wave needs the signature of its user, and whether the one
 * that came along is about this very wave. A user with a key gives such a command only signed, so
 * that a stolen password or token opens no wave; a user without a key gives it as ever. Sans-I/O.
 */

import { instantText } from '../../shared/base/durations.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { keyIdOf, type PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import {
  assertApproves,
  openApproval,
  peekApproval,
  SIGNED_COMMANDS,
  type ApprovalSubject,
  type SignedApproval,
} from '../../shared/formats/approval.ts';
import type { RolloutPlan, RolloutRun } from './record.ts';

/** The part of a command that says who gives it, and by which signature. */
export interface Signing {
  /** The authenticated user; null or absent where the broker knows no users. */
  readonly user?: string | null | undefined;
  /** The key that has to sign what opens a wave; null or absent for a user without one. */
  readonly key?: PublicKeyHex | null | undefined;
  /** Signed approvals that came along, one for each rollout of a set. */
  readonly signed?: readonly string[] | undefined;
}

/** A command of which the signature was checked. */
export interface SignedWord {
  /** Short name of the key. */
  readonly keyId: string;
  /** The document as it came. */
  readonly text: string;
}

/** Fields that a signed approval of the open wave has to name, beside who gives it. */
export type ToSign = Pick<ApprovalSubject, 'fleet' | 'rollout' | 'release' | 'wave' | 'opened_at'>;

/** [P-6.13] */
export const toSign = (run: RolloutRun, plan: RolloutPlan): ToSign => ({
  fleet: plan.announcement.fleet,
  rollout: plan.rollout.id,
  release: run.release ?? plan.release,
  wave: run.wave,
  opened_at: run.waveOpenedAtMs,
});

/**
 * Null for a command that needs no signature, and for a user without a key.
 * @throws DroverError APPROVAL_UNSIGNED, APPROVAL_KEY_WRONG, APPROVAL_INVALID, APPROVAL_OF_ANOTHER,
 *   APPROVAL_CLOCK
 */
export function checkSigned(
  run: RolloutRun,
  said: Signing & { readonly command: string },
  { plan, now }: { readonly plan: RolloutPlan | null; readonly now: EpochMs },
): SignedWord | null {
  const command = SIGNED_COMMANDS.find((one) => one === said.command);
  if (command === undefined) return null;
  const { user = null, key = null, signed = [] } = said;
  const what = `${command} rollout ${run.rollout}`;
  if (key === null || user === null) {
    if (signed.length === 0) return null;
    const why = user === null ? 'this broker knows no users' : `${user} has no key here`;
    throw new DroverError('APPROVAL_KEY_WRONG', `${what}: it is signed, and ${why}`);
  }
  const mine = signed.find((text) => isAbout(text, run.rollout)) ?? signed[0];
  if (mine === undefined) {
    const reason = command === 'force-open' ? ' --reason WHY' : '';
    const type = `drover rollout ${command} ${run.rollout} --wave ${run.wave}${reason} --key FILE`;
    const why = `${user} has a key (${keyIdOf(key)}), and this is not signed by it; type: ${type}`;
    throw new DroverError('APPROVAL_UNSIGNED', `${what}: ${why}`);
  }
  if (plan === null) throw new TypeError('checkSigned: it opens no wave of what is not announced');
  const approval = openApproval(mine, key);
  assertApproves(approval, { ...toSign(run, plan), command, user }, now);
  assertUnused(run, approval);
  return { keyId: keyIdOf(key), text: mine };
}

/**
 * The record of a controller before, or of a lost broker, may have been further than ours: what
 * was signed then may have been obeyed and would open the wave a second time.
 */
function assertUnused(
  { rollout, signedSinceMs: since }: RolloutRun,
  { command, issued_at: at }: SignedApproval,
): void {
  if (at >= since) return;
  const when = `signed at ${instantText(at)}, and this record was taken over at ${instantText(since)}`;
  throw new DroverError('APPROVAL_CLOCK', `${command} rollout ${rollout}: ${when}; sign it anew`);
}

const isAbout = (text: string, rollout: string): boolean =>
  nullIfRefused(() => peekApproval(text))?.rollout === rollout;
