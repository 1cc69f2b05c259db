/**
 * The stage `export`: signed bundles and the announcement become one file for a USB stick.
 * Everything in it is verified as the site will verify it, so that no useless stick is carried. The
 * file gets its name only when it is complete.
 */

import type { Encrypter } from 'age-encryption';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Signer } from '../../shared/crypto/ed25519.ts';
import {
  assertFresh,
  openAnnouncement,
  type Announcement,
} from '../../shared/formats/announcement.ts';
import { assertKeysSatisfy } from '../../shared/rules/check-keys.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { openBundle, type Bundle } from '../../shared/io/bundle-folder.ts';
import { makeTempFolder } from '../../shared/io/leftovers.ts';
import type { Output } from '../../shared/io/cli.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { TrustRoot } from '../../shared/formats/trust.ts';
import { openStatuses } from '../rollout/active-rollouts.ts';
import {
  ANNOUNCEMENT_MEMBER,
  encodeIndex,
  TRUST_MEMBER,
  type ParcelIndexFields,
} from './parcel.ts';
import { bundleKey, chooseRollouts, exportIndex, type ExportChoice } from './plan-export.ts';
import { AnnouncementBoard } from '../rollout/announcements.ts';
import { BrokerLink, type BrokerLinkOptions } from '../transfer/broker-link.ts';
import { encrypterFor } from './age-keys.ts';
import { bundleContents, contentOf } from './export-contents.ts';
import { fetchBundle } from './fetch-bundle.ts';
import { makeMeter } from '../bundle/progress-meter.ts';
import { openSeal } from './parcel-seal.ts';
import { writeParcel, type Content } from './parcel-writer.ts';

export interface ExportJob {
  readonly folders: readonly string[];
  /** Null to export only the folders, without an announcement. */
  readonly broker: BrokerLinkOptions | null;
  /** Only these announced rollouts; empty for all that were not stopped. */
  readonly rollouts: readonly string[];
  readonly trust: TrustRoot;
  readonly trustBytes: Uint8Array;
  /** Keys that sign the index; without any the index is unsigned. */
  readonly signers: readonly Signer[];
  readonly out: string;
  readonly split: number | null;
  /** Recipients that alone can read the file; empty for a file that is not encrypted. */
  readonly recipients: readonly string[];
  readonly dryRun: boolean;
  readonly output: Output;
  readonly log: Log;
}

export interface Exported {
  readonly index: ParcelIndexFields;
  readonly bundles: readonly { readonly name: string; readonly version: string }[];
  readonly announcement: Announcement | null;
  readonly left: ExportChoice['left'];
  readonly bytes: number;
  /** Names of the files; in a dry run the names that they would have. */
  readonly parts: readonly string[];
}

/** @throws DroverError of any step; no file is left behind then */
export async function exportParcel(job: ExportJob): Promise<Exported> {
  if (job.signers.length > 0) assertKeysSatisfy(job.signers, 'rollout', job.trust);
  // Before gigabytes are fetched: a recipient may be mistyped.
  const encrypter = job.recipients.length === 0 ? null : await encrypterFor(job.recipients);
  const work = makeTempFolder(join(tmpdir(), 'drover-export-'));
  const bundles: Bundle[] = [];
  try {
    for (const folder of job.folders) bundles.push(await openBundle(folder));
    const announced = job.broker === null ? null : await takeAnnounced(job, bundles, work.path);
    return await pack(job, { bundles, announced, encrypter });
  } finally {
    for (const bundle of bundles) await bundle.close();
    await work.remove();
  }
}

interface Announced {
  readonly bytes: Uint8Array;
  readonly announcement: Announcement;
  readonly left: ExportChoice['left'];
}

/** Adds announced bundles to `bundles`, except those that a folder already has. */
async function takeAnnounced(job: ExportJob, bundles: Bundle[], work: string): Promise<Announced> {
  const link = await BrokerLink.open(job.broker as BrokerLinkOptions, job.log);
  try {
    const { bytes, statuses } = await readBoard(link, job);
    const announcement = openAnnouncement(bytes, job.trust);
    assertFresh(announcement, 0, Date.now()); // no site would accept it
    const { taken, left } = chooseRollouts(announcement, statuses, job.rollouts);
    const wanted = new Map(taken.map((one) => [bundleKey(one.manifest), one]));
    for (const { manifest, manifestBytes } of bundles) {
      if (wanted.delete(bundleKey(manifestBytes))) continue;
      const why = 'it is not announced there';
      throw new DroverError('NOT_FOUND', `export ${manifest.name} ${manifest.version}: ${why}`, {
        hint: 'export it without --broker, or announce it first: drover publish',
      });
    }
    const meter = (label: string, bytesTotal: number) => makeMeter(job.output, label, bytesTotal);
    for (const rollout of wanted.values()) {
      const folder = join(work, String(bundles.length));
      await fetchBundle({ link, rollout, folder, meter, log: job.log });
      bundles.push(await openBundle(folder));
    }
    return { bytes, announcement, left };
  } finally {
    await link.close();
  }
}

async function readBoard(link: BrokerLink, job: ExportJob) {
  const board = await AnnouncementBoard.open(link);
  board.close();
  const { current } = board;
  if (current === null) {
    throw new DroverError('NOT_FOUND', 'export what is announced: nothing is', {
      hint: 'announce a bundle first (drover publish), or export folders without --broker',
    });
  }
  const statuses = openStatuses(board.progress, job.trust, (error) => {
    job.log.warn({ reason: String(error) }, 'a progress message does not verify: ignored');
  });
  return { bytes: current, statuses };
}

interface Gathered {
  readonly bundles: readonly Bundle[];
  readonly announced: Announced | null;
  /** Null for a file that is not encrypted. */
  readonly encrypter: Encrypter | null;
}

async function pack(
  job: ExportJob,
  { bundles, announced, encrypter }: Gathered,
): Promise<Exported> {
  const contents: Content[] = [contentOf(TRUST_MEMBER, job.trustBytes)];
  if (announced) contents.push(contentOf(ANNOUNCEMENT_MEMBER, announced.bytes));
  const keys = bundles.map(({ manifestBytes }) => bundleKey(manifestBytes));
  for (const [at, bundle] of bundles.entries()) {
    if (keys.indexOf(keys[at] as string) !== at) {
      throw new DroverError('USAGE', `export ${bundle.manifest.version}: it was given twice`);
    }
    contents.push(...(await bundleContents(bundle, job.trust, at)));
  }
  const fields = exportIndex({
    fleet: job.trust.fleet,
    announcement: announced?.announcement ?? null,
    members: contents.map(({ member }) => member),
    now: Date.now(),
  });
  const index = await encodeIndex(fields, job.signers);
  const kind = 'drover-export';
  const { parts, bytes } = await writeParcel({
    ...{ out: job.out, split: job.split, kind, index, contents, dryRun: job.dryRun },
    seal: encrypter && (await openSeal(encrypter)),
    meter: (bytesTotal) => makeMeter(job.output, 'write', bytesTotal),
  });
  return {
    index: fields,
    bundles: bundles.map(({ manifest: { name, version } }) => ({ name, version })),
    announcement: announced?.announcement ?? null,
    left: announced?.left ?? [],
    bytes,
    parts,
  };
}
