/**
 * Files of a robot with a certificate, in a folder of its own that only its owner may read.
 * `identity.pem` has the private key and the certificate in one file, so that no power cut leaves
 * one without the other. `next.key` is a key for which a certificate was asked: it is durable
 * before the broker gets to know it, and goes when its certificate is durable.
 */

import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { DroverError } from '../../shared/base/errors.ts';
import { isRobotId, shortHash, type RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { parseDocument, robotIdSchema } from '../../shared/formats/schema.ts';
import { syncFolder, writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { withFileLock } from '../../shared/io/file-lock.ts';
import { readPlainNow } from '../install/small-file.ts';
import { onDisk, readIfAny } from './credential-file.ts';
import { showCertificate, type CertificateLife, type OwnCertificate } from './renewal-plan.ts';
import { makeKey, ownSpkiOf } from './signing-request.ts';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/;

/** Private key and certificate. */
export const identityPath = (folder: string): string => join(folder, 'identity.pem');
const originPath = (folder: string): string => join(folder, 'enrolment.json');
const nextKeyPath = (folder: string): string => join(folder, 'next.key');

const originSchema = z.object({
  robot_id: robotIdSchema,
  /** URL of the HTTP port of the broker that renews the certificate. */
  renew_at: z.string().max(LIMITS.profileValueCharsMax),
  /** Short hash of the claim that was used. */
  claim: z.string().max(64),
});

/** Where the identity comes from. */
export type Origin = z.output<typeof originSchema>;

export interface RobotIdentity {
  readonly robot: RobotId;
  readonly key: KeyObject;
  readonly certificate: X509Certificate;
  readonly renewAt: string;
}

/** @throws DroverError FILE_UNREADABLE when there is none, or it is damaged */
export function readIdentity(folder: string): RobotIdentity {
  const damaged = (why: string, cause?: unknown): DroverError =>
    new DroverError('FILE_UNREADABLE', `read ${identityPath(folder)}: ${why}`, {
      hint: 'drover-robot enrol makes it, with a new claim; move what is left in the folder away before',
      ...(cause !== undefined && { cause }),
    });
  try {
    const pem = readPlainNow(identityPath(folder)).toString('utf8');
    const origin = parseOrigin(readPlainNow(originPath(folder)));
    const [key, certificate] = [createPrivateKey(pem), new X509Certificate(certificateIn(pem))];
    if (!certificate.checkPrivateKey(key)) throw damaged('key and certificate do not fit');
    return { robot: origin.robot_id, key, certificate, renewAt: origin.renew_at };
  } catch (cause) {
    if (cause instanceof DroverError) throw cause;
    throw damaged(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** The robot that this claim was used for here; null when there is no identity yet. */
export async function readOwn(folder: string, claimSha256: string): Promise<RobotId | null> {
  const text = await readIfAny(identityPath(folder));
  if (text === null) return null;
  const origin = await readIfAny(originPath(folder));
  const own = origin === null ? null : parseOrigin(Buffer.from(origin));
  if (own?.claim === shortHash(claimSha256)) return own.robot_id;
  throw new DroverError('FILE_EXISTS', `enrol: ${folder} has the identity of a robot already`, {
    hint: `move ${folder} away to enrol this robot again with a new claim`,
  });
}

const parseOrigin = (bytes: Uint8Array): Origin =>
  parseDocument(
    {
      what: 'enrolment.json',
      schema: originSchema,
      bytesMax: LIMITS.localRequestBytesMax,
      code: 'FILE_UNREADABLE',
    },
    bytes,
  );

const certificateIn = (pem: string): string => CERTIFICATE.exec(pem)?.[0] ?? '';

/**
 * The key for which a certificate is asked, made at the first call and durable when it resolves.
 * @param inUse a key that is not to be used again: a power cut may have left it here
 * @throws DroverError FILE_UNREADABLE for one that is damaged, FILE_LOCKED, DISK_FULL and others of
 *   the disk
 */
export async function nextKey(folder: string, inUse: KeyObject | null): Promise<KeyObject> {
  const path = nextKeyPath(folder);
  return await onDisk('write', path, async () => {
    const made = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    // A power cut must not take the new folder, and with it a key that the broker knows.
    if (made !== undefined) await syncUpTo(dirname(made), folder);
    return await withFileLock(path, async () => {
      const found = await readIfAny(path);
      const known = found === null ? null : keyIn(path, found);
      if (known && !(inUse && ownSpkiOf(known).equals(ownSpkiOf(inUse)))) return known;
      const key = makeKey();
      const pem = key.export({ type: 'pkcs8', format: 'pem' }) as string;
      await writeFileAtomic(path, pem, FILE_MODE);
      return key;
    });
  });
}

/** Every folder between, so that each name in them is durable. */
async function syncUpTo(top: string, folder: string): Promise<void> {
  for (let at = dirname(folder); ; at = dirname(at)) {
    await syncFolder(at);
    if (at === top || at === dirname(at)) return;
  }
}

function keyIn(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    const hint = `remove ${path}: no certificate in use has it; a claim that was used with it needs a new one`;
    throw new DroverError('FILE_UNREADABLE', `read ${path}: not a private key`, { cause, hint });
  }
}

/**
 * Checks what a broker sent for a key of ours, before it takes the place of anything.
 * @throws DroverError BROKER_REFUSED
 */
export function checkCertificate(
  pem: string,
  { robot, key }: Pick<RobotIdentity, 'robot' | 'key'>,
) {
  const refuse = (why: string): never => {
    throw new DroverError('BROKER_REFUSED', `read certificate from the broker: ${why}`);
  };
  let certificate: X509Certificate | null = null;
  try {
    certificate = new X509Certificate(certificateIn(pem));
  } catch {
    refuse('it cannot be read');
  }
  if (!certificate) return refuse('it cannot be read');
  if (!certificate.checkPrivateKey(key)) refuse('it is for another key');
  if (!isRobotId(robot) || certificate.subject !== `CN=${robot}`) refuse('it is for another robot');
  return certificate;
}

/**
 * Durable when it resolves: first where it comes from, then key and certificate in one step.
 * @throws DroverError DISK_FULL and others of the disk; the key stays then, for the next call
 */
export async function writeIdentity(
  folder: string,
  {
    key,
    certificate,
    origin,
  }: Pick<RobotIdentity, 'key'> & { certificate: string; origin: Origin },
): Promise<void> {
  const path = identityPath(folder);
  await onDisk('write', path, async () => {
    await writeFileAtomic(originPath(folder), `${JSON.stringify(origin)}\n`, FILE_MODE);
    const secret = key.export({ type: 'pkcs8', format: 'pem' }) as string;
    await writeFileAtomic(path, `${secret}${certificateIn(certificate)}`, FILE_MODE);
  });
}

/** The same for a renewal, of which only key and certificate change. */
export async function replaceIdentity(
  folder: string,
  { key, certificate }: Pick<RobotIdentity, 'key'> & { certificate: string },
): Promise<void> {
  const path = identityPath(folder);
  const secret = key.export({ type: 'pkcs8', format: 'pem' }) as string;
  await onDisk('write', path, async () => {
    await writeFileAtomic(path, `${secret}${certificateIn(certificate)}`, FILE_MODE);
    await dropNextKey(folder);
  });
}

/** Its certificate is durable, or another claim has begun. */
export async function dropNextKey(folder: string): Promise<void> {
  await rm(nextKeyPath(folder), { force: true });
}

export function lifeOf(certificate: X509Certificate): CertificateLife {
  const tail = Number.parseInt(certificate.serialNumber.slice(-8), 16);
  return {
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    spread: Number.isNaN(tail) ? 0 : tail / 2 ** 32,
  };
}

/** Of the file of `--cert`; null while it cannot be read, which the link reports. */
export function viewOfFile(path: string): OwnCertificate | null {
  try {
    const life = lifeOf(new X509Certificate(readPlainNow(path)));
    return showCertificate({ life, renews: false, failure: null, refusal: null }, Date.now());
  } catch {
    return null;
  }
}
