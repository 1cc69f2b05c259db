/**
 * manifest.json: what a bundle is and which robots may take it. Its exact bytes are signed, so it
 * is carried as bytes and parsed beside them; unknown fields stay in the bytes and are ignored.
 * Sans-I/O.
 */

import { z } from 'zod';
import { LIMITS } from '../base/limits.ts';
import { gateBoundsSchema } from './gates.ts';
import {
  machineNameSchema,
  SLOT_IMAGE,
  mustReadIn,
  strategyIn,
  writtenStrategySchema,
} from './apply-strategy.ts';
import { attachmentSchema } from './attachments.ts';
import { idSchema, parseDocument, sha256Schema, sizeSchema, versionSchema } from './schema.ts';
import type { ComponentName, Sha256Hex } from '../base/ids.ts';
import { isVersionRange } from '../base/version.ts';

const deltaSchema = z.object({
  from_version: versionSchema,
  from_tar_sha256: sha256Schema,
  sha256: sha256Schema,
  size: sizeSchema.min(1).max(LIMITS.payloadBytesMax),
});

const boundsSchema = z.object({
  health_timeout_min_s: z
    .number()
    .int()
    .min(1)
    .max(LIMITS.healthTimeoutMsMax / 1000)
    .optional(),
  gates: gateBoundsSchema.optional(),
});

/** The one member `image` of the payload, unpacked. */
const imageSchema = z.object({
  size: sizeSchema.min(1).max(LIMITS.archiveBytesMax),
  sha256: sha256Schema,
});

/** [P-3.1] [P-3.2] */
const fieldsSchema = z.object({
  version: versionSchema,
  min_current_version: versionSchema,
  target_arch: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'want a CPU name such as aarch64, or any'),
  payload_sha256: sha256Schema,
  rollback_version: versionSchema,
  apply_strategy: writtenStrategySchema,
  /** Machines that it is for; for each when it is empty. */
  compatible: z.array(machineNameSchema).max(LIMITS.compatibleMax).default([]),
  /** [P-3.12] Other components of the robot, and the versions of them that it runs with. */
  requires: z
    .record(idSchema, z.string().refine(isVersionRange, 'want a range such as ">=2.1 <3"'))
    .refine((all) => Object.keys(all).length <= LIMITS.requiresMax, {
      error: `want at most ${LIMITS.requiresMax} components`,
    })
    .default({}),
  name: idSchema.default('app').transform((text) => text as ComponentName),
  payload_size: sizeSchema.min(1).max(LIMITS.payloadBytesMax).optional(),
  payload_tar_sha256: sha256Schema.optional(),
  payload_tar_size: sizeSchema.max(LIMITS.archiveBytesMax).optional(),
  /** Of a bundle whose payload is an image of a system slot. */
  image: imageSchema.optional(),
  deltas: z.array(deltaSchema).max(LIMITS.deltasMax).default([]),
  /** [P-12.6] A list of their own: agents of 0.1 read `deltas` alone, and would try these. */
  add_deltas: z.array(deltaSchema).max(LIMITS.deltasMax).default([]),
  /** Robots that run or ran versions up to this may come down to this release. */
  downgrade_from: versionSchema.optional(),
  /** Lower bounds for the health time-out and the gates of an announcement of this release. */
  bounds: boundsSchema.optional(),
  /** [P-3.8] */
  attachments: z
    .array(attachmentSchema)
    .max(LIMITS.attachmentsMax)
    .refine((all) => new Set(all.map(({ kind }) => kind)).size === all.length, 'a kind twice')
    .default([]),
});

const saysRequires = (written: string, requires: Requires): boolean =>
  mustReadIn(written).includes('requires') === Object.keys(requires).length > 0;

const manifestSchema = fieldsSchema
  // [P-3.11] A robot writes exactly `image.size` bytes into a slot, so it has to know them.
  .refine(({ apply_strategy, image }) => strategyIn(apply_strategy) !== SLOT_IMAGE || image, {
    path: ['image'],
    error: 'want the size and the sha256 of the image, as slot_image needs',
  })
  // [P-3.12] Without it, agents of before would take the bundle and ignore what it requires.
  .refine(({ apply_strategy, requires }) => saysRequires(apply_strategy, requires), {
    path: ['apply_strategy'],
    error: 'want +requires at its end when there are requires, and only then',
  })
  .refine(({ name, requires }) => !Object.hasOwn(requires, name), {
    path: ['requires'],
    error: 'want other components: min_current_version is about its own',
  })
  .refine(({ deltas, add_deltas: adds }) => deltas.length + adds.length <= LIMITS.deltasMax, {
    path: ['add_deltas'],
    error: `want at most ${LIMITS.deltasMax} with deltas`,
  })
  .transform(({ deltas, add_deltas: adds, ...fields }) => ({
    ...fields,
    apply_strategy: strategyIn(fields.apply_strategy),
    deltas: [
      ...deltas.map((delta) => ({ ...delta, coding: 'zstd' as const })),
      ...adds.map((delta) => ({ ...delta, coding: 'add' as const })),
    ],
  }));

/** Components by name, and the range of versions that each has to be in. */
export type Requires = Readonly<Record<string, string>>;

/** One that may be applied to what a robot runs, whichever list it is in. */
export type ManifestDelta = z.output<typeof manifestSchema>['deltas'][number];

export type Manifest = z.output<typeof manifestSchema>;

/**
 * The bytes that each delta of a release makes: the system image of a slot, else the tar. The base
 * that `from_tar_sha256` names is of the same kind. [P-12.8]
 * @returns null when the manifest does not say
 */
export function deltaResultOf(
  manifest: Pick<Manifest, 'apply_strategy' | 'image' | 'payload_tar_sha256' | 'payload_tar_size'>,
): { readonly sha256: Sha256Hex; readonly bytes: number } | null {
  const { image, payload_tar_sha256: sha256, payload_tar_size: bytes } = manifest;
  if (manifest.apply_strategy === SLOT_IMAGE) {
    return image ? { sha256: image.sha256, bytes: image.size } : null;
  }
  return sha256 === undefined || bytes === undefined ? null : { sha256, bytes };
}

const KIND = {
  what: 'manifest.json',
  schema: manifestSchema,
  bytesMax: LIMITS.manifestBytesMax,
  code: 'MANIFEST_INVALID',
} as const;

/** @throws DroverError DOCUMENT_TOO_LARGE, JSON_INVALID, MANIFEST_INVALID (facts.field) */
export function parseManifest(bytes: Uint8Array): Manifest {
  return parseDocument(KIND, bytes);
}

/** The fields of a manifest as they are written; key order is fixed so that builds repeat. */
export type ManifestFields = z.input<typeof manifestSchema>;

/** Bytes of manifest.json: two-space JSON with a final newline, keys in the order given. */
export function encodeManifest(fields: ManifestFields): Uint8Array {
  const bytes = new TextEncoder().encode(`${JSON.stringify(fields, null, 2)}\n`);
  parseManifest(bytes);
  return bytes;
}
