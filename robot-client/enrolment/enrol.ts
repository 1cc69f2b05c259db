/**
 * Enrols this robot, once. The secret is durable here before the broker gets its hash, so a call
 * that was cut off is repeated with the same secret and gets the same answer.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { keyNameOf } from '../../shared/formats/http-api.ts';
import { askToEnrol, type BrokerDoor } from './ask-broker.ts';
import { ownSecret, readEnrolled, writeCredential } from './credential-file.ts';

export interface EnrolOptions {
  readonly door: BrokerDoor;
  readonly claim: string;
  /** File of the credential. */
  readonly out: string;
  /** How long a person may take who has to accept the robot. */
  readonly waitMs: number;
  /** Called before the broker is asked, with the name of the key that people compare. */
  onKey(key: string): void;
}

export interface Enrolled {
  readonly robot: string;
  /** False when this claim was used here before. */
  readonly isNew: boolean;
}

/**
 * @throws DroverError FILE_EXISTS, FILE_UNREADABLE, BROKER_UNREACHABLE, ENROLMENT_PENDING,
 *   CLAIM_USED, CLAIM_EXPIRED, CLAIM_REVOKED, CLAIM_UNKNOWN and others; errors of the disk
 */
export async function enrolRobot(options: EnrolOptions): Promise<Enrolled> {
  const { claim, out } = options;
  const claimSha256 = sha256Hex(utf8(claim));
  const before = await readEnrolled(out, claimSha256);
  if (before !== null) return { robot: before, isNew: false };
  const secret = await ownSecret(out);
  const robot = await untilEnrolled(options, sha256Hex(utf8(secret)));
  await writeCredential(out, { robot, secret, claimSha256 });
  return { robot, isNew: true };
}

/** Asks again while a person has to accept the robot. */
async function untilEnrolled({ door, claim, waitMs, onKey }: EnrolOptions, tokenSha256: string) {
  const key = keyNameOf(tokenSha256);
  onKey(key);
  const untilMs = performance.now() + waitMs;
  for (;;) {
    const answer = await askToEnrol(door, { claim, tokenSha256 });
    if (answer.status === 'enrolled') return answer.robot_id;
    if (performance.now() + LIMITS.enrolPollMs > untilMs) {
      const why = `a person has to accept it (key ${key})`;
      throw new DroverError('ENROLMENT_PENDING', `enrol ${answer.robot_id}: ${why}`);
    }
    await sleep(LIMITS.enrolPollMs);
  }
}
