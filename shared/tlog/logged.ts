/**
 * Decides whether the manifest of a bundle is in a log, by the proof that came with it. The entry
 * of a log is the manifest byte for byte, so its hash follows from the manifest alone. The robot
 * and the command line verify the proof. The forecast of the publisher and the counts of the
 * controller use the reports of robots that take only logged manifests. Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import { isIncluded, leafHash } from './merkle.ts';
import { noteText } from './note.ts';
import { seenBy, type LogPolicy } from './policy.ts';
import { parseLogProof, type LogProof } from './proof.ts';

export interface Logged {
  readonly origin: string;
  readonly index: number;
  /** Entries of the log when its checkpoint was signed. */
  readonly size: number;
}

const invalid = (why: string, cause?: unknown): DroverError =>
  new DroverError('LOG_PROOF_INVALID', `check proof of logging: ${why}`, { cause });

/**
 * Checks that the proof leads from this manifest to the root of its checkpoint. The signatures
 * under it are NOT checked.
 * @throws DroverError LOG_PROOF_INVALID
 */
export function openLogProof(proof: Uint8Array | string, manifestBytes: Uint8Array): LogProof {
  let read: LogProof;
  try {
    const text = typeof proof === 'string' ? proof : noteText(proof, LIMITS.logProofBytesMax);
    read = parseLogProof(text);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    throw invalid(cause.message.replace('read signed note: ', ''), cause);
  }
  const { index, hashes, checkpoint } = read;
  if (isIncluded({ leaf: leafHash(manifestBytes), index, proof: hashes }, checkpoint)) return read;
  throw invalid(`it is not about this manifest, or was changed (entry ${index})`);
}

/**
 * [P-14.6]
 * @param text undefined: the bundle came without one
 * @throws DroverError LOG_PROOF_MISSING, LOG_PROOF_INVALID
 */
export function assertLogged(
  manifestBytes: Uint8Array,
  text: string | undefined,
  policy: LogPolicy,
): Logged {
  if (text === undefined) {
    throw new DroverError('LOG_PROOF_MISSING', 'check proof of logging: there is none');
  }
  const { index, checkpoint } = openLogProof(text, manifestBytes);
  const { fault, witnesses, isWitnessed } = seenBy(checkpoint, policy);
  if (fault !== null) throw invalid(fault);
  if (!isWitnessed) {
    const got = witnesses.length === 0 ? 'none' : witnesses.map((one) => printable(one)).join(', ');
    throw invalid(`too few witnesses (got ${got}, want ${printable(policy.quorum ?? '')})`);
  }
  return { origin: checkpoint.origin, index, size: checkpoint.size };
}

/** In `caps` of the state of a robot that has a policy. [P-14.6] */
export const LOG_CAPABILITY = 'requires-log';

export type LogRefusal = 'LOG_PROOF_MISSING' | 'LOG_PROOF_INVALID';

/** True when the robot requires a proof and the rollout has none: it never takes this rollout. */
export const lacksLogProof = (
  { hasLogProof }: { readonly hasLogProof: boolean },
  { caps }: { readonly caps: readonly string[] },
): boolean => !hasLogProof && caps.includes(LOG_CAPABILITY);

/**
 * Returns why a robot does not take a rollout for want of a proof, by its report: only the robot
 * knows its policy. Its verdict on an earlier proof does not count for a rollout without a proof.
 */
export function logRefusalOf(
  rollout: { readonly version: string; readonly hasLogProof: boolean },
  robot: {
    readonly caps: readonly string[];
    readonly last_error?:
      { readonly code: string; readonly version?: string | null | undefined } | null | undefined;
  },
): LogRefusal | null {
  if (!robot.caps.includes(LOG_CAPABILITY)) return null;
  if (!rollout.hasLogProof) return 'LOG_PROOF_MISSING';
  const { last_error: told } = robot;
  const isInvalid = told?.code === 'LOG_PROOF_INVALID' && told.version === rollout.version;
  return isInvalid ? 'LOG_PROOF_INVALID' : null;
}
