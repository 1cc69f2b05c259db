/**
 * The stage `import`: a file from a USB stick becomes chunks and an announcement of this site. All
 * of it is verified before anything is published. Then either the announcement of the cloud is
 * published unchanged, or the site announces the bundles with a key of its own, as `publish` does.
 */

import type { Announcement, AnnouncementFields } from '../../shared/formats/announcement.ts';
import { bytesEqual } from '../../shared/crypto/bytes.ts';
import { assertKeysSatisfy } from '../../shared/rules/check-keys.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { openBundle } from '../../shared/io/bundle-folder.ts';
import { makeTempFolder, type TempFolder } from '../../shared/io/leftovers.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { openActiveRollouts } from '../rollout/active-rollouts.ts';
import { ANNOUNCEMENT_MEMBER, TRUST_MEMBER, type ParcelIndex } from './parcel.ts';
import { bundleKey } from './plan-export.ts';
import {
  assertOrder,
  assertTogether,
  importFloor,
  newestTaken,
  isOrderProven,
  judgeAnnouncement,
} from './plan-import.ts';
import { rolloutIdFor } from '../rollout/plan-rollout.ts';
import { AnnouncementBoard } from '../rollout/announcements.ts';
import { BrokerLink } from '../transfer/broker-link.ts';
import { makeMeter } from '../bundle/progress-meter.ts';
import { decrypterFor } from './age-keys.ts';
import { isSealed, unseal } from './parcel-seal.ts';
import { ParcelReader } from './parcel-reader.ts';
import { PartsReader, writeFailure } from '../transfer/file-parts.ts';
import { chunkPayload } from '../bundle/payload.ts';
import { unpackBundles, verifyBundles, type Unpacked } from './unpack-parcel.ts';
import { JOURNAL_FILE } from '../transfer/journal.ts';
import { publishBundle, type PublishJob, type Published } from '../rollout/publish.ts';
import { stillActive } from '../rollout/set-rules.ts';

export interface ImportJob extends Omit<
  PublishJob,
  'bundle' | 'journalPath' | 'rolloutId' | 'imported'
> {
  readonly file: string;
  /** Files with the age identities of this site, for an encrypted file. */
  readonly identities: readonly string[];
  /** Where the site keeps its bundle folders. */
  readonly into: string;
}

export interface ImportedBundle {
  readonly folder: string;
  readonly name: string;
  readonly version: string;
  /** Of the site's own announcement; null when that of the cloud was published, or none. */
  readonly rollout: string | null;
  /** Null in a dry run. */
  readonly published: Published | null;
}

export interface Imported {
  readonly index: ParcelIndex;
  /** True when a key that the site trusts signed the order of the files. */
  readonly isProven: boolean;
  readonly mode: 'republished' | 'announced' | 'uploaded';
  /** Everything was announced before: only missing chunks were added. */
  readonly wasThere: boolean;
  readonly bundles: readonly ImportedBundle[];
}

/** @throws DroverError of any step; nothing is published unless all of the file was verified */
export async function importParcel(job: ImportJob): Promise<Imported> {
  const isResigned = job.signers.length > 0;
  if (isResigned && !job.uploadOnly) assertKeysSatisfy(job.signers, 'rollout', job.trust);
  const reader = await openParcel(job);
  let scratch: TempFolder | null = null;
  try {
    const current = await readCurrent(job);
    const read = await readSmall(job, reader, isResigned || job.uploadOnly);
    const proof = { isProven: isOrderProven(reader.authority, read.announcement), now: Date.now() };
    const floor = importFloor(current, job.trust, job.signers);
    const taken = newestTaken(current, job.trust);
    assertOrder(reader.index, { trust: job.trust, floor, taken }, proof);
    const mode = modeOf(job, read.bytes);
    scratch = scratchFor(job);
    const unpacked = await unpack(job, reader, scratch?.path ?? null);
    const manifests = unpacked.map(({ verified }) => verified.manifestBytes);
    if (read.announcement) assertTogether(read.announcement, manifests, mode !== 'republished');
    const bundles =
      mode === 'republished' && read.announcement !== null && read.bytes !== null
        ? await republish(job, unpacked, { ...read, current } as Cloud)
        : await announceAll(job, unpacked, { current, seq: reader.index.seq });
    const wasThere =
      mode === 'republished'
        ? isSame(current, read.bytes)
        : mode === 'announced' && bundles.every(({ rollout }) => isOut(current, job, rollout));
    return { index: reader.index, isProven: proof.isProven, mode, wasThere, bundles };
  } finally {
    await reader.close();
    await scratch?.remove();
  }
}

/** @throws DroverError PARCEL_*, AGE_IDENTITY_INVALID, DISK_FULL, FILE_UNREADABLE */
async function openParcel(job: ImportJob): Promise<ParcelReader> {
  const { roles } = job.trust;
  const file = await PartsReader.open(job.file);
  if (!(await isSealed(file))) return await ParcelReader.over(file, 'drover-export', roles.rollout);
  try {
    if (job.identities.length === 0) {
      throw new DroverError('PARCEL_SEALED', `open ${job.file}: it is encrypted`);
    }
    const decrypter = await decrypterFor(job.identities, (line) => job.log.warn({}, line));
    const what = { kind: 'drover-export', role: roles.rollout } as const;
    const plain = await unseal(file, decrypter, { ...what, into: job.into });
    return await ParcelReader.over(plain, what.kind, what.role);
  } finally {
    await file.close();
  }
}

function modeOf(job: ImportJob, announcement: Uint8Array | null): Imported['mode'] {
  if (job.uploadOnly) return 'uploaded';
  if (job.signers.length > 0) return 'announced';
  if (announcement !== null) return 'republished';
  throw new DroverError('KEY_MISSING', 'import file: it holds no announcement', {
    hint: "announce with the site's own rollout key (--key), or store only: --upload-only",
  });
}

async function readCurrent(job: ImportJob): Promise<Uint8Array | null> {
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    const board = await AnnouncementBoard.open(link);
    board.close();
    return board.current;
  } finally {
    await link.close();
  }
}

async function readSmall(job: ImportJob, reader: ParcelReader, isResigned: boolean) {
  const trust = reader.member(TRUST_MEMBER);
  if (trust) await reader.read(trust); // the root in the file is not used: the site has its own
  const member = reader.member(ANNOUNCEMENT_MEMBER);
  const bytes = member ? await reader.read(member) : null;
  const site = { trust: job.trust, isResigned, now: Date.now() };
  const announcement = bytes === null ? null : judgeAnnouncement(bytes, site, reader.index);
  return { bytes, announcement };
}

async function unpack(
  job: ImportJob,
  reader: ParcelReader,
  scratch: string | null,
): Promise<Unpacked[]> {
  const { trust, into, dryRun } = job;
  const bundles = await verifyBundles(reader, trust);
  const bytes = reader.index.members.reduce((sum, { size }) => sum + size, 0);
  const meter = makeMeter(job.output, dryRun ? 'verify' : 'unpack', bytes);
  try {
    return await unpackBundles({ reader, trust, into, scratch, meter }, bundles);
  } finally {
    meter.stop();
  }
}

/**
 * Where a dry run unpacks: on the disk of `into`, so that it meets the same lack of room.
 * @throws DroverError DISK_FULL, FILE_UNREADABLE
 */
function scratchFor({ into, dryRun }: ImportJob): TempFolder | null {
  if (!dryRun) return null;
  let above = resolve(into);
  while (!existsSync(above)) above = dirname(above);
  try {
    return makeTempFolder(join(above, '.drover-dry-run-'));
  } catch (cause) {
    throw writeFailure(above, cause);
  }
}

interface Cloud {
  readonly bytes: Uint8Array;
  readonly announcement: Announcement;
  readonly current: Uint8Array | null;
}

/** Publishes the chunks as the cloud cut them, and then its announcement, byte for byte. */
async function republish(
  job: ImportJob,
  unpacked: readonly Unpacked[],
  { bytes, announcement, current }: Cloud,
): Promise<ImportedBundle[]> {
  if (current !== null && !isSame(current, bytes)) {
    const { seq } = openActiveRollouts(current, job.trust);
    if (seq === announcement.seq) {
      throw new DroverError('SEQ_CONFLICT', `import file: another one with seq ${seq} is here`);
    }
  }
  const bundles: ImportedBundle[] = [];
  for (const rollout of announcement.rollouts) {
    const one = unpacked.find(
      ({ verified }) => bundleKey(verified.manifestBytes) === bundleKey(rollout.manifest),
    );
    const artifact = rollout.artifacts.find(({ kind }) => kind === 'full');
    if (!one || !artifact) continue;
    const chunks = { chunkBytes: artifact.chunk_size, chunkIndex: artifact.chunk_index };
    bundles.push(await upload(job, one, chunks));
  }
  if (job.dryRun) return bundles;
  const link = await BrokerLink.open(job.broker, job.log);
  try {
    const board = await AnnouncementBoard.open(link);
    try {
      if (!isSame(board.current, current) && !isSame(board.current, bytes)) {
        throw new DroverError('SEQ_CONFLICT', 'import file: somebody else announced meanwhile');
      }
      await board.replace(board.current, bytes);
    } finally {
      board.close();
    }
  } finally {
    await link.close();
  }
  return bundles;
}

function isSame(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === b || (a !== null && b !== null && bytesEqual(a, b));
}

async function upload(
  job: ImportJob,
  one: Unpacked,
  chunks: { chunkBytes: number; chunkIndex: string },
): Promise<ImportedBundle> {
  const { manifest } = one.verified;
  const facts = { folder: one.folder, name: manifest.name, version: manifest.version };
  const bundle = await openBundle(one.at);
  try {
    const payload = await chunkPayload(bundle, chunks.chunkBytes);
    if (payload.indexHash !== chunks.chunkIndex) {
      const why = 'its chunks are not those that the announcement names';
      throw new DroverError('CHUNK_INDEX_INVALID', `import ${manifest.version}: ${why}`);
    }
    const { chunkBytes } = chunks;
    const own = { ...ownJob(job, one), bundle, chunkBytes, uploadOnly: true };
    return { ...facts, rollout: null, published: doneOf(job, await publishBundle(own)) };
  } finally {
    await bundle.close();
  }
}

/** The same bundle gets the same rollout id each time: a file that is read twice announces once. */
function ownJob(job: ImportJob, { at, verified }: Unpacked) {
  const { name, version } = verified.manifest;
  const digest = Number.parseInt(sha256Hex(verified.manifestBytes).slice(0, 8), 16) / 2 ** 32;
  const rolloutId = rolloutIdFor(name, version, () => digest);
  // An operator decided about it where the file was made; the forecast is about this site's robots.
  return {
    ...job,
    journalPath: join(at, JOURNAL_FILE),
    rolloutId,
    anyway: true,
    isCarried: true,
  };
}

/** A dry run has published nothing. */
const doneOf = ({ dryRun }: ImportJob, published: Published): Published | null =>
  dryRun ? null : published;

/** Each after those before it; in a dry run on what those would have announced. */
async function announceAll(
  job: ImportJob,
  unpacked: readonly Unpacked[],
  { current, seq }: { current: Uint8Array | null; seq: number },
): Promise<ImportedBundle[]> {
  const bundles: ImportedBundle[] = [];
  let after: AnnouncementFields | undefined;
  let { supersede } = job;
  for (const one of unpacked) {
    const { name, version } = one.verified.manifest;
    const own = { ...ownJob(job, one), supersede };
    const rollout = job.uploadOnly ? null : own.rolloutId;
    const facts = { folder: one.folder, name, version, rollout };
    const isAnnounced = isOut(current, job, own.rolloutId);
    const bundle = await openBundle(one.at);
    try {
      const uploadOnly = job.uploadOnly || isAnnounced;
      const more = { ...(job.dryRun && after && { after }), imported: { seq } };
      const published = await publishBundle({ ...own, bundle, uploadOnly, ...more });
      const plan = published.announced?.plan;
      after = plan?.fields ?? after;
      supersede = plan ? stillActive(supersede, plan.fields) : supersede;
      bundles.push({ ...facts, published: doneOf(job, published) });
    } finally {
      await bundle.close();
    }
  }
  return bundles;
}

const isOut = (current: Uint8Array | null, { trust }: ImportJob, rollout: string | null): boolean =>
  current !== null && rollout !== null && holds(current, trust, rollout);

const holds = (current: Uint8Array, trust: TrustRoot, rollout: string): boolean =>
  openActiveRollouts(current, trust).rollouts.some((one) => one.rollout.id === rollout);
