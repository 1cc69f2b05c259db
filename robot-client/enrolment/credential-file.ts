/**
 * Two files of a robot that enrols: the secret that it made, from before it asks until the
 * credential stands, and the credential: with the secret, or with the folder of its certificate.
 * Each is written whole or not at all, and only its owner may read it. The secret is never replaced
 * while it is needed: a broker that knows its hash takes no other one for this claim.
 */

import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import { shortHash, type RobotId } from '../../shared/base/ids.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { withFileLock } from '../../shared/io/file-lock.ts';
import { diskError } from '../install/disk-error.ts';
import { readPlainNow } from '../install/small-file.ts';

const SECRET_BYTES = 32;
const SECRET = /^[A-Za-z0-9_-]{43}$/;
const MODE = 0o600;

const secretPath = (out: string): string => `${out}.key`;
const claimLine = (claimSha256: string): string => `# claim ${shortHash(claimSha256)}`;

/**
 * The robot that this claim was used for earlier; null when there is no credential yet.
 * @throws DroverError FILE_EXISTS when the file has another credential, FILE_UNREADABLE
 */
export async function readEnrolled(out: string, claimSha256: string): Promise<string | null> {
  const text = await readIfAny(out);
  if (text === null) return null;
  const robot = /^DROVER_ROBOT_ID=(\S+)$/m.exec(text)?.[1];
  if (robot !== undefined && text.includes(`${claimLine(claimSha256)}\n`)) {
    await rm(secretPath(out), { force: true }); // a power cut came before this
    return robot;
  }
  throw new DroverError('FILE_EXISTS', `enrol: ${out} has a credential already`, {
    hint: `move ${out} away to enrol this robot again with a new claim`,
  });
}

/**
 * The secret of this robot, made at the first call and durable when it resolves.
 * @throws DroverError FILE_UNREADABLE for one that is damaged, FILE_LOCKED, DISK_FULL and others of
 *   the disk
 */
export async function ownSecret(out: string): Promise<string> {
  const path = secretPath(out);
  return await onDisk('write', path, async () => {
    await mkdir(dirname(out), { recursive: true, mode: 0o755 });
    return await withFileLock(path, () => readOrMake(path));
  });
}

async function readOrMake(path: string): Promise<string> {
  const found = (await readIfAny(path))?.trimEnd();
  if (found !== undefined && SECRET.test(found)) return found;
  if (found !== undefined) {
    const hint = `remove ${path}; a claim that was used with it needs a new one`;
    throw new DroverError('FILE_UNREADABLE', `read ${path}: not a secret of enrol`, { hint });
  }
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  await writeFileAtomic(path, `${secret}\n`, MODE);
  return secret;
}

/** The secret of a robot, or the folder of its key and certificate. */
export type OwnSecret = { readonly secret: string } | { readonly identity: string };

/**
 * The variables that the agent and its unit read. Durable when it resolves.
 * @throws DroverError DISK_FULL and others of the disk; the secret stays then, for the next call
 */
export async function writeCredential(
  out: string,
  { robot, own, claimSha256 }: { robot: RobotId; own: OwnSecret; claimSha256: string },
): Promise<void> {
  const lines = [
    '# Written by drover-robot enrol. Whoever reads this file can report as this robot.',
    claimLine(claimSha256),
    `DROVER_ROBOT_ID=${robot}`,
    ...('secret' in own
      ? [`DROVER_USERNAME=${robot}`, `DROVER_PASSWORD=${own.secret}`]
      : [`DROVER_IDENTITY=${own.identity}`]),
  ];
  await onDisk('write', out, async () => {
    await mkdir(dirname(out), { recursive: true });
    await writeFileAtomic(out, `${lines.join('\n')}\n`, MODE);
    await rm(secretPath(out), { force: true });
  });
}

/** @throws DroverError of the disk, with the path */
export async function onDisk<T>(what: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw diskError(what, path, cause);
  }
}

/** Null when it does not exist. @throws DroverError FILE_UNREADABLE */
export async function readIfAny(path: string): Promise<string | null> {
  try {
    return readPlainNow(path).toString('utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw new DroverError('FILE_UNREADABLE', `read ${path}: ${message}`, { cause });
  }
}
