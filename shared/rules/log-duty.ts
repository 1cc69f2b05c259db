/**
 * Robots that take only what is logged say so among their capabilities. The robot refuses by its
 * policy; the publisher foresees and the controller counts by what such robots tell. Sans-I/O.
 */

/** In `caps` of the state of a robot that has a policy. [P-14.6] */
export const LOG_CAPABILITY = 'requires-log';

export type LogRefusal = 'LOG_PROOF_MISSING' | 'LOG_PROOF_INVALID';

/** For such a robot there is nothing to judge: it never takes this rollout. */
export const lacksLogProof = (
  { hasLogProof }: { readonly hasLogProof: boolean },
  { caps }: { readonly caps: readonly string[] },
): boolean => !hasLogProof && caps.includes(LOG_CAPABILITY);

/**
 * Why a robot does not take a rollout for want of a proof, as far as it tells: only the robot knows
 * its policy. What it said of a proof says nothing of a rollout that has none, or has one now.
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
