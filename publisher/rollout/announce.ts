/**
 * Publishes an announcement on the broker, or writes it to a file when other people have to sign it
 * first, and later publishes that file.
 */

import { statSync } from 'node:fs';
import { DroverError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import { assertKeysOfRole, assertKeysSatisfy } from '../../shared/rules/check-keys.ts';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import {
  assertFresh,
  signAnnouncement,
  type AnnouncementFields,
} from '../../shared/formats/announcement.ts';
import { coSignEnvelope, PAYLOAD_TYPES } from '../../shared/formats/envelope.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { writeFileAtomic } from '../../shared/io/atomic-file.ts';
import { readInput } from '../../shared/io/cli.ts';
import { assertNewFile, writeNewFile, type NewFile } from '../../shared/io/new-file.ts';
import { parseNamed, type FileKind } from '../../shared/rules/file-kinds.ts';
import { assertTimely } from '../../shared/rules/freshness.ts';
import { BrokerLink, type BrokerLinkOptions } from '../transfer/broker-link.ts';
import { AnnouncementBoard } from './announcements.ts';
import {
  encodePending,
  assertPendingSize,
  mayReplace,
  parsePending,
  readPending,
  replacing,
  signaturesOf,
  type AnnounceWith,
  type ReadAnnouncement,
} from './pending-announcement.ts';

/**
 * Call before anything is sent.
 * @throws DroverError ENVELOPE_KEY_UNKNOWN, ENVELOPE_SIGNATURES_TOO_FEW, FILE_EXISTS
 */
export function assertMayAnnounce({ signers, trust, announcementOut }: AnnounceWith): void {
  if (announcementOut === undefined) return assertKeysSatisfy(signers, 'rollout', trust);
  assertKeysOfRole(signers, 'rollout', trust);
  assertNewFile(outputOf(announcementOut));
}

const outputOf = (path: string): NewFile => ({
  ...{ path, what: 'announcement', option: '--announcement-out' },
});

export interface Base {
  readonly board: AnnouncementBoard;
  /** The envelope that the new one was planned on; null for none. */
  readonly current: Uint8Array | null;
}

/** @throws DroverError SEQ_CONFLICT, BROKER_REFUSED, SIGN_COMMAND_FAILED, FILE_EXISTS */
export async function bringOut(
  fields: AnnouncementFields,
  base: Base,
  job: Pick<AnnounceWith, 'signers' | 'announcementOut'>,
): Promise<void> {
  await place(await signAnnouncement(fields, job.signers), base, job);
}

/**
 * Publishes or writes a signed announcement.
 * @throws DroverError SEQ_CONFLICT, BROKER_REFUSED, FILE_EXISTS
 */
export async function place(
  envelope: Uint8Array,
  { board, current }: Base,
  { announcementOut }: Pick<AnnounceWith, 'announcementOut'>,
): Promise<void> {
  if (announcementOut === undefined) return await board.replace(current, envelope);
  await writeNewFile(outputOf(announcementOut), encodePending(replacing(current, envelope)));
}

export interface AnnounceSignJob {
  readonly file: string;
  readonly trust: TrustRoot;
  readonly signers: readonly Signer[];
  readonly dryRun: boolean;
}

/**
 * Adds signatures to the file. Its bundles are verified first.
 * @throws DroverError ENVELOPE_*, ANNOUNCEMENT_INVALID, FLEET_WRONG, BUNDLE_*, FILE_UNREADABLE
 */
export async function signAnnouncementFile(job: AnnounceSignJob): Promise<ReadAnnouncement> {
  const { file, trust, signers, dryRun } = job;
  const before = readFile(file);
  const announcement = readPending(before, trust);
  assertKeysOfRole(signers, 'rollout', trust);
  const envelope = await coSignEnvelope(before.envelope, PAYLOAD_TYPES.announcement, signers);
  const after = { ...before, envelope };
  if (!dryRun) await writeFileAtomic(file, encodePending(after));
  return { announcement, signatures: signaturesOf(after, trust) };
}

export interface AnnounceJob {
  readonly file: string;
  readonly trust: TrustRoot;
  readonly broker: BrokerLinkOptions;
  readonly dryRun: boolean;
  readonly log: Log;
}

/**
 * @returns the announcement; `isNew` is false when it was published before
 * @throws DroverError ENVELOPE_*, SEQ_CONFLICT, ANNOUNCEMENT_EXPIRED, ANNOUNCEMENT_AHEAD,
 *   BROKER_REFUSED, BROKER_UNREACHABLE, ACCESS_DENIED, as `signAnnouncementFile`
 */
export async function announceFile(
  job: AnnounceJob,
): Promise<ReadAnnouncement & { isNew: boolean }> {
  const { file, trust, dryRun } = job;
  const pending = readFile(file);
  const announcement = readPending(pending, trust);
  const now = Date.now();
  assertFresh(announcement, 0, now);
  assertTimely({ kind: 'announcement', ...announcement }, trust, now);
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    const board = await AnnouncementBoard.open(link);
    try {
      const { current } = board;
      const isNew = mayReplace(pending, current, trust);
      if (isNew && !dryRun) await board.replace(current, pending.envelope);
      return { announcement, signatures: signaturesOf(pending, trust), isNew };
    } finally {
      board.close();
    }
  } finally {
    await link.close();
  }
}

function readFile(file: string) {
  const hint = 'name the file that --announcement-out wrote';
  try {
    assertPendingSize(statSync(file, { throwIfNoEntry: false })?.size ?? 0);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    throw new DroverError(cause.code, `read ${file}: ${cause.message}`, { cause, hint });
  }
  const wanted = {
    ...({ kind: 'announcement file', path: file } as const),
    hint: (got: FileKind | null): string =>
      got === 'update of trust.json' ? 'drover trust sign and trust publish take it' : hint,
  };
  return parseNamed(wanted, readInput(file, `announcement ${file}`), parsePending);
}
