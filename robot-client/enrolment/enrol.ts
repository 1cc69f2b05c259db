/**
 * Enrols this robot, once. The secret or the key is durable here before the broker gets its hash or
 * a request, so a call that was cut off is repeated with the same one and gets the same answer.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DroverError, failureOf } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { shortHash } from '../../shared/base/ids.ts';
import { keyNameOf, type EnrolAnswer, type EnrolAsk } from '../../shared/formats/http-api.ts';
import { askToEnrol, type BrokerDoor } from './ask-broker.ts';
import { ownSecret, readEnrolled, writeCredential } from './credential-file.ts';
import {
  checkCertificate,
  dropNextKey,
  nextKey,
  readOwn,
  writeIdentity,
} from './identity-files.ts';
import { makeRequest } from './signing-request.ts';

export interface EnrolOptions {
  readonly door: BrokerDoor;
  readonly claim: string;
  /** File of the credential. */
  readonly out: string;
  /** Folder for a key and a certificate; undefined: the robot gets a secret. */
  readonly identity?: string | undefined;
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
  const { claim, out, identity } = options;
  const claimSha256 = sha256Hex(utf8(claim));
  await assertNoLeftovers(options, claimSha256);
  const before = await readEnrolled(out, claimSha256);
  if (before !== null) return { robot: before, isNew: false };
  if (identity !== undefined) return await enrolForCertificate({ ...options, identity });
  const secret = await ownSecret(out);
  const tokenSha256 = sha256Hex(utf8(secret));
  const { robot_id: robot } = await untilEnrolled(options, tokenSha256, {
    ...{ claim, token_sha256: tokenSha256 },
  });
  await writeCredential(out, { robot, own: { secret }, claimSha256 });
  return { robot, isNew: true };
}

/**
 * Names both at once when both have to be moved: an earlier enrolment leaves a file and a folder.
 * @throws DroverError FILE_EXISTS
 */
async function assertNoLeftovers({ out, identity }: EnrolOptions, claimSha256: string) {
  if (identity === undefined) return;
  const file = await failureOf(readEnrolled(out, claimSha256));
  const folder = await failureOf(readOwn(identity, claimSha256));
  if (file?.code !== 'FILE_EXISTS' || folder?.code !== 'FILE_EXISTS') return;
  const why = `${out} has a credential already, and ${identity} the identity of a robot`;
  throw new DroverError('FILE_EXISTS', `enrol: ${why}`, {
    hint: `move ${out} and ${identity} away to enrol this robot again with a new claim`,
  });
}

/** In this order a power cut at any moment costs neither the key nor the claim. */
async function enrolForCertificate(
  options: EnrolOptions & { readonly identity: string },
): Promise<Enrolled> {
  const { claim, out, identity, door } = options;
  const claimSha256 = sha256Hex(utf8(claim));
  let robot = await readOwn(identity, claimSha256);
  const isNew = robot === null;
  if (robot === null) {
    const key = await nextKey(identity, null);
    const { pem: csr, keySha256 } = makeRequest(key);
    const answer = await untilEnrolled(options, keySha256, { claim, csr });
    robot = answer.robot_id;
    const { certificate = '' } = answer;
    checkCertificate(certificate, { robot, key });
    const url = door.url.href;
    const origin = { robot_id: robot, renew_at: url, claim: shortHash(claimSha256) };
    await writeIdentity(identity, { key, certificate, origin });
  }
  await writeCredential(out, { robot, own: { identity }, claimSha256 });
  await dropNextKey(identity);
  return { robot, isNew };
}

/** Asks again while a person has to accept the robot. */
async function untilEnrolled(
  { door, waitMs, onKey }: EnrolOptions,
  keySha256: string,
  ask: EnrolAsk,
): Promise<EnrolAnswer> {
  const key = keyNameOf(keySha256);
  onKey(key);
  const untilMs = performance.now() + waitMs;
  for (;;) {
    const answer = await askToEnrol(door, ask);
    if (answer.status === 'enrolled') return answer;
    if (performance.now() + LIMITS.enrolPollMs > untilMs) {
      const why = `a person has to accept it (key ${key})`;
      throw new DroverError('ENROLMENT_PENDING', `enrol ${answer.robot_id}: ${why}`);
    }
    await sleep(LIMITS.enrolPollMs);
  }
}
