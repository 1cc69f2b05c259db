/**
 * The stage `build`: an application's folder becomes a bundle folder with payload.tar.gz and
 * manifest.json. The bundle appears under its name by one rename, so a half-built one is never
 * mistaken for a bundle. The same tree gives the same bytes again.
 */

import { existsSync } from 'node:fs';
import { mkdir, realpath, rename, stat, writeFile, chmod } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { IMAGE_MEMBER, MANIFEST_FILE, PAYLOAD_FILE } from '../../shared/formats/bundle-parts.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { Sha256Stream } from '../../shared/crypto/hash.ts';
import { syncFolder } from '../../shared/io/atomic-file.ts';
import { makeTempFolder, removeLeftovers } from '../../shared/io/leftovers.ts';
import type { Output } from '../../shared/io/cli.ts';
import { probeZstd } from '../../shared/io/zstd.ts';
import { encodeManifest, type ManifestFields } from '../../shared/formats/manifest.ts';
import { assertAgentFolder, assertAgentLabels } from './agent-folder.ts';
import { assertDeltaBases, parseDeltaFrom } from './deltas/plan-deltas.ts';
import { assertPayloadWithinLimits, planManifest, type BundleLabels } from './plan-bundle.ts';
import { assertNoXattrs } from './xattr-policy.ts';
import { planTree, type TreePlan } from './plan-tree.ts';
import {
  readAttachments,
  writeAttachments,
  type AttachmentSource,
  type ReadAttachment,
} from './attachments.ts';
import { makeDeltas, type BuiltDelta } from './deltas/deltas.ts';
import { openDeltaBase, type DeltaBase } from './deltas/delta-base.ts';
import { makeMeter } from './progress-meter.ts';
import { listXattrs } from './xattrs.ts';
import { packPayload, type PackedPayload } from './pack-payload.ts';
import { listTree } from './tree.ts';

export interface BuildJob {
  /** Folder of the application; or with `labels.image` the file of a system image. */
  readonly source: string;
  readonly out: string;
  readonly labels: BundleLabels;
  /** Values of `--delta-from`. */
  readonly deltasFrom?: readonly string[];
  readonly zstd?: string;
  /** Documents that go with it: a bill of materials, provenance. */
  readonly attachments?: readonly AttachmentSource[];
  readonly plainModes?: boolean;
  /** Leaves extended attributes out; a tree that has some is refused otherwise. */
  readonly dropXattrs?: boolean;
  /** Plans and checks everything, writes nothing. */
  readonly dryRun: boolean;
  readonly output: Output;
}

export interface BuiltBundle {
  readonly out: string;
  readonly plan: TreePlan;
  /** Null for a dry run. */
  readonly payload: PackedPayload | null;
  /** The system image in it; null for a folder, and for a dry run. */
  readonly image: ManifestFields['image'] | null;
  readonly deltas: readonly BuiltDelta[];
  readonly attachments: readonly ReadAttachment['attachment'][];
}

/** @throws DroverError USAGE, FILE_EXISTS, FILE_UNREADABLE, ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE,
 * ATTACHMENT_INVALID, DOCUMENT_TOO_LARGE, XATTRS_REFUSED, XATTRS_UNREADABLE, AGENT_STRATEGY,
 * AGENT_RELEASE_INVALID, and with deltas those of `makeDeltas` */
export async function buildBundle(job: BuildJob): Promise<BuiltBundle> {
  const out = resolve(job.out);
  planManifest(job.labels, null); // labels are checked before gigabytes are read
  assertAgentLabels(job.labels);
  const isImage = job.labels.image !== undefined;
  await assertOutIsFree(out, isImage ? null : job.source);
  const attachments = await readAttachments(job.attachments ?? []);
  const bases = await openBases(job);
  try {
    const plan = isImage ? await planImage(job.source) : await planFolder(job);
    await assertAgentFolder(job, plan.entries);
    if (job.dryRun)
      return { ...named(attachments), out, plan, payload: null, image: null, deltas: [] };
    return await packBundle(job, { out, plan, bases, attachments });
  } finally {
    for (const base of bases) await base.close();
  }
}

async function planFolder(job: BuildJob): Promise<TreePlan> {
  const listing = await listTree(job.source);
  const plan = planTree(listing, { plainModes: job.plainModes ?? false });
  if (job.dropXattrs !== true) assertNoXattrs(await listXattrs(job.source));
  return plan;
}

/** Plans a payload with one member `image`. @throws DroverError FILE_UNREADABLE, IMAGE_INVALID */
async function planImage(path: string): Promise<TreePlan> {
  const found = await stat(path).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `build: read ${path}: ${why}`, { cause });
  });
  if (!found.isFile() || found.size === 0) {
    throw new DroverError('IMAGE_INVALID', `build: read ${path}: want a file with an image in it`, {
      hint: 'give the image as a file: dd copies a partition into one',
    });
  }
  const file = { path: IMAGE_MEMBER, kind: 'file', mode: 0o644, bytes: found.size } as const;
  const entries = [{ ...file, linkTarget: '', timeS: 0 }];
  return { entries, files: 1, bytes: found.size, staleByteCode: [] };
}

const named = (attachments: readonly ReadAttachment[]): Pick<BuiltBundle, 'attachments'> => ({
  attachments: attachments.map(({ attachment }) => attachment),
});

/** Checks the bases by their labels; nothing large is read yet. */
async function openBases(job: BuildJob): Promise<DeltaBase[]> {
  const bases: DeltaBase[] = [];
  if (job.deltasFrom && job.deltasFrom.length > 0) await probeZstd(zstdOf(job));
  try {
    for (const text of job.deltasFrom ?? []) {
      bases.push(await openDeltaBase(parseDeltaFrom(text), job.labels.image !== undefined));
    }
    assertDeltaBases(job.labels, bases);
    return bases;
  } catch (error) {
    for (const base of bases) await base.close();
    throw error;
  }
}

const zstdOf = (job: BuildJob): string => job.zstd ?? 'zstd';

interface Planned {
  readonly out: string;
  readonly plan: TreePlan;
  readonly bases: readonly DeltaBase[];
  readonly attachments: readonly ReadAttachment[];
}

async function packBundle(job: BuildJob, planned: Planned): Promise<BuiltBundle> {
  const { out, plan, bases } = planned;
  await mkdir(dirname(out), { recursive: true });
  const prefix = join(dirname(out), `.${basename(out)}.drover-build-`);
  await removeLeftovers(prefix);
  const made = makeTempFolder(prefix);
  const beside = made.path;
  const scratch = makeTempFolder(prefix);
  try {
    const payloadPath = join(beside, PAYLOAD_FILE);
    const meter = makeMeter(job.output, 'pack', plan.bytes);
    const imageHash = new Sha256Stream();
    const isImage = job.labels.image !== undefined;
    const payload = await packPayload(
      {
        root: job.source,
        entries: plan.entries,
        ...(isImage && { sourceOf: () => job.source, onBody: (piece) => imageHash.update(piece) }),
      },
      payloadPath,
      meter.add,
    ).finally(meter.stop);
    const image = { size: imageHash.bytes, sha256: imageHash.digestHex() };
    assertPayloadWithinLimits(payload, isImage ? image.size : undefined);
    const places = { payload, payloadPath, bundleFolder: beside, scratch: scratch.path };
    const deltas = await makeDeltas({
      ...{ zstd: zstdOf(job), bases, ...places, output: job.output },
      image: isImage ? { path: job.source, sha256: image.sha256, bytes: image.size } : null,
    });
    const { attachments } = named(planned.attachments);
    await writeAttachments(planned.attachments, beside);
    const manifest = encodeManifest(
      planManifest({ ...job.labels, ...(isImage && { image }) }, payload, {
        deltas,
        attachments: [...attachments],
      }),
    );
    await writeFile(join(beside, MANIFEST_FILE), manifest, { flag: 'wx', flush: true });
    // mkdtemp makes 0700, which the next step of a build server could not read
    await chmod(beside, 0o755);
    await syncFolder(beside);
    await rename(beside, out);
    made.keep();
    await syncFolder(dirname(out));
    return { out, plan, payload, image: isImage ? image : null, deltas, attachments };
  } catch (error) {
    await made.remove();
    throw error;
  } finally {
    await scratch.remove();
  }
}

async function assertOutIsFree(out: string, appFolder: string | null): Promise<void> {
  if (existsSync(out)) {
    throw new DroverError('FILE_EXISTS', `build ${out}: it is there already`, {
      hint: 'choose another --out, or remove the old bundle yourself',
    });
  }
  if (appFolder === null || !existsSync(appFolder)) return; // listTree reports this better
  const app = await realpath(appFolder);
  if (!`${out}${sep}`.startsWith(`${app}${sep}`)) return;
  throw new DroverError('USAGE', `build ${out}: --out lies inside the application's folder`, {
    hint: 'choose an --out outside the folder, or the bundle would hold itself',
  });
}
