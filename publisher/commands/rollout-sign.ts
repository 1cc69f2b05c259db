/**
 * Signs `rollout approve` and `rollout force-open` with the own key of the user who gives them. It
 * signs what the broker asks at that moment, and only what that user has just typed: the rollout,
 * or those of its set, and one wave.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { oneLine } from '../../shared/base/printable.ts';
import type { RolloutId } from '../../shared/base/ids.ts';
import { keyIdOf, type Signer } from '../../shared/crypto/ed25519.ts';
import { SIGNED_COMMANDS, signApproval } from '../../shared/formats/approval.ts';
import { KEY_ENVIRONMENT } from '../../shared/io/key-file.ts';
import type { ApiClient } from '../rollout/api-client.ts';
import {
  parseCommanded,
  parseUser,
  type CommandedAnswer,
  type RolloutAnswer,
} from '../rollout/rollout-answer.ts';
import { namesKeys, openSigners, type KeyWords } from './options.ts';

type SignedCommand = (typeof SIGNED_COMMANDS)[number];

export const isSigned = (verb: string): verb is SignedCommand =>
  SIGNED_COMMANDS.some((one) => one === verb);

/** A user, and the key that the broker knows as theirs. */
export interface OwnKey {
  readonly user: string;
  readonly signer: Signer;
}

/**
 * Null where no key was given. A key in the environment may be there for other verbs: it is used
 * only for a user who has one at this broker.
 * @throws DroverError APPROVAL_KEY_WRONG, and as `openSigners`
 */
export async function openOwnKey(args: KeyWords, api: ApiClient): Promise<OwnKey | null> {
  const isNamed = namesKeys(args);
  if (!isNamed && (process.env[KEY_ENVIRONMENT] ?? '') === '') return null;
  const { user, approval_key: key } = await readUser(api);
  if (user === null || key === null) {
    if (!isNamed) return null;
    const whose = user === null ? 'the token names no user' : `${user} has no key`;
    throw keyWrong(`${whose} at ${oneLine(api.address, 200)}`);
  }
  const signers = await openSigners(args, [key]);
  const signer = signers.find(({ publicKey }) => publicKey === key);
  if (signer) return { user, signer };
  const got = signers.map(({ publicKey }) => keyIdOf(publicKey)).join(', ');
  throw keyWrong(`${user} has another one there (got ${got}, want ${keyIdOf(key)})`);
}

/** A broker of 0.1 does not know the route, and no keys either. */
async function readUser(api: ApiClient): Promise<ReturnType<typeof parseUser>> {
  try {
    return parseUser(await api.get('/user'));
  } catch (error) {
    if (toProblem(error).code !== 'NOT_FOUND') throw error;
    return { user: null, approval_key: null };
  }
}

const keyWrong = (why: string): DroverError =>
  new DroverError('APPROVAL_KEY_WRONG', `choose the key that signs: ${why}`);

/**
 * One document for each rollout that asks for this command now. A rollout that does not ask for it
 * is left out, so that a device asks its owner for no signature that counts for nothing.
 */
export async function signFor(
  { user, signer }: OwnKey,
  command: SignedCommand,
  { rollouts, wave }: { rollouts: readonly RolloutAnswer[]; wave: number | null },
): Promise<string[]> {
  const signed: string[] = [];
  for (const { id, run } of rollouts) {
    const approval = run?.approval ?? null;
    if (!approval?.to_sign || (command === 'approve' && approval.state !== 'due')) continue;
    if (wave !== null && approval.to_sign.wave !== wave) continue;
    const subject = { ...approval.to_sign, rollout: id as RolloutId, command, user };
    signed.push(await signApproval(subject, signer, Date.now()));
  }
  return signed;
}

/** A wave may have passed its gate, or opened, after we had read what there is to sign. */
const MENDED_ANEW: readonly string[] = ['APPROVAL_UNSIGNED', 'APPROVAL_OF_ANOTHER'];

interface Said {
  readonly answer: Uint8Array;
  /** Rollouts of the set that still want another signature. */
  readonly refused: CommandedAnswer['refused'];
}

/**
 * Gives a command, and once more what asks for another signature by then: the rollout itself, or
 * others of its set.
 * @param say reads, signs and sends, for one rollout or set
 * @throws DroverError as `say`
 */
export async function sayAgain(
  say: (id: string) => Promise<Uint8Array>,
  id: string,
  hasKey: boolean,
): Promise<Said> {
  const answer = await say(id).catch((error: unknown) => {
    if (!hasKey || !MENDED_ANEW.includes(toProblem(error).code)) throw error;
    return say(id);
  });
  const refused: CommandedAnswer['refused'] = [];
  for (const one of parseCommanded(answer).refused) {
    const isAnew = hasKey && MENDED_ANEW.includes(one.code);
    const problem = isAnew ? await say(one.rollout).then(() => null, toProblem) : one;
    if (problem) refused.push({ ...one, code: problem.code, message: problem.message });
  }
  return { answer, refused };
}

/** Ends the line about a command that was signed. */
export const signedBy = (own: OwnKey | null, signed: readonly string[]): string =>
  own === null || signed.length === 0 ? '' : `; signed by key ${keyIdOf(own.signer.publicKey)}`;
