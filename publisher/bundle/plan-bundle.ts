/**
 * Decides the manifest of a new bundle: which labels fit together, and the order of the keys, which
 * is part of the signed bytes. Sans-I/O.
 */

import { assertUnpackedWithin, boundingBytes } from '../../shared/formats/archive-entry.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import {
  ATOMIC_SWAP,
  moduleStrategy,
  SLOT_IMAGE,
  writtenStrategy,
} from '../../shared/formats/apply-strategy.ts';
import {
  encodeManifest,
  type ManifestDelta,
  type ManifestFields,
  type Requires,
} from '../../shared/formats/manifest.ts';
import { compareVersions } from '../../shared/base/version.ts';

/** The image of a system slot. */
type ImageLabel = NonNullable<ManifestFields['image']> | 'unread';

export interface BundleLabels {
  readonly name: string;
  readonly version: string;
  readonly arch: string;
  readonly minCurrent: string;
  readonly rollback: string;
  /** Robots that run or ran up to this version may downgrade to the bundle. */
  readonly downgradeFrom?: string | undefined;
  /** Lower bounds for the health time-out and the gates of an announcement. */
  readonly bounds?: ManifestFields['bounds'];
  /** Module of the robot that applies it; left out where `active` alone is led to it. */
  readonly module?: string | undefined;
  /** The payload is one image for a system slot; `unread` before it was hashed. */
  readonly image?: ImageLabel | undefined;
  /** Machines that it is for; for each when there are none. */
  readonly compatible?: readonly string[];
  /** Other components that it runs with, and the versions of them. */
  readonly requires?: Requires;
}

interface Payload {
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  readonly tarSha256: Sha256Hex;
  readonly tarBytes: number;
}

interface Extras {
  readonly deltas?: readonly ManifestDelta[];
  readonly attachments?: ManifestFields['attachments'];
}

/** One of the two lists of deltas, when it has any. */
function listOf(
  list: 'deltas' | 'add_deltas',
  all: readonly ManifestDelta[],
  of: ManifestDelta['coding'],
): Partial<ManifestFields> {
  const found = all.filter((delta) => delta.coding === of);
  if (found.length === 0) return {};
  const fields = found.map((one) => {
    const { coding: _, ...delta } = one;
    return delta;
  });
  return { [list]: fields };
}

const NO_HASH = '0'.repeat(64) as Sha256Hex;
const NO_IMAGE = { size: 1, sha256: NO_HASH };
const NO_PAYLOAD: Payload = { sha256: NO_HASH, bytes: 1, tarSha256: NO_HASH, tarBytes: 1 };

/** The strategy by which robots bring it into effect. */
export function strategyFor({ module, image }: Pick<BundleLabels, 'module' | 'image'>): string {
  if (image !== undefined) return SLOT_IMAGE;
  return module === undefined ? ATOMIC_SWAP : moduleStrategy(module);
}

/**
 * @param payload null to check the labels before there is one
 * @throws DroverError USAGE for labels that no robot could ever act on, MANIFEST_INVALID
 */
export function planManifest(
  labels: BundleLabels,
  payload: Payload | null,
  { deltas = [], attachments = [] }: Extras = {},
): ManifestFields {
  const { sha256, bytes, tarSha256, tarBytes } = payload ?? NO_PAYLOAD;
  const { compatible = [], image, requires = {} } = labels;
  const isRequiring = Object.keys(requires).length > 0;
  const fields: ManifestFields = {
    name: labels.name,
    version: labels.version,
    min_current_version: labels.minCurrent,
    target_arch: labels.arch,
    payload_sha256: sha256,
    rollback_version: labels.rollback,
    apply_strategy: writtenStrategy(strategyFor(labels), isRequiring ? ['requires'] : []),
    payload_size: bytes,
    payload_tar_sha256: tarSha256,
    payload_tar_size: tarBytes,
    ...(image !== undefined && { image: image === 'unread' ? NO_IMAGE : image }),
    ...listOf('deltas', deltas, 'zstd'),
    ...listOf('add_deltas', deltas, 'add'),
    ...(labels.downgradeFrom !== undefined && { downgrade_from: labels.downgradeFrom }),
    ...(labels.bounds && { bounds: labels.bounds }),
    ...(compatible.length > 0 && { compatible: [...compatible] }),
    ...(isRequiring && { requires }),
    ...(attachments.length > 0 && { attachments }),
  };
  assertLabels(fields);
  assertBelow('--min-current', labels.minCurrent, labels.version);
  assertBelow('--rollback', labels.rollback, labels.version);
  assertDown(labels);
  return fields;
}

const OPTION_OF_FIELD: Readonly<Record<string, string>> = {
  name: '--name',
  version: '--version',
  min_current_version: '--min-current',
  target_arch: '--arch',
  rollback_version: '--rollback',
  downgrade_from: '--downgrade-from',
  apply_strategy: '--module',
  compatible: '--compatible',
  requires: '--requires',
  'bounds.health_timeout_min_s': '--min-health-timeout',
};

/** The caller can fix a label that the format refuses, so the message names its option. */
function assertLabels(fields: ManifestFields): void {
  try {
    encodeManifest(fields);
  } catch (cause) {
    const field = cause instanceof DroverError ? String(cause.facts['field']) : '';
    const option = OPTION_OF_FIELD[field] ?? OPTION_OF_FIELD[field.split('.')[0] ?? ''];
    if (!(cause instanceof DroverError) || option === undefined) throw cause;
    // There is no manifest.json yet: the person knows the option, and what was given.
    const told = cause.message.split(`field ${field}: `).at(-1) ?? cause.message;
    const why = field === 'apply_strategy' ? MODULE_NAME_WANTED : told;
    const got = JSON.stringify(valueAt(fields, field))?.slice(0, GOT_CHARS_MAX);
    throw new DroverError('USAGE', `build: ${option}: ${why} (got ${got})`, { cause });
  }
}

const GOT_CHARS_MAX = 80;
const MODULE_NAME_WANTED = 'want the name of a module, a-z 0-9 -, a letter first';

/** The value at a path such as `bounds.health_timeout_min_s`; of a strategy the name of the module. */
function valueAt(fields: ManifestFields, path: string): unknown {
  let found: unknown = fields;
  for (const key of path.split('.')) {
    if (typeof found !== 'object' || found === null) break;
    found = (found as Record<string, unknown>)[key];
  }
  const isStrategy = path === 'apply_strategy' && typeof found === 'string';
  return isStrategy
    ? String(found)
        .split('+')[0]
        ?.replace(/^module\//, '')
    : found;
}

function assertBelow(option: string, got: string, version: string): void {
  if (compareVersions(got, version) < 0) return;
  throw new DroverError(
    'USAGE',
    `build ${version}: ${option} is not below the version (got ${got}, want below ${version})`,
  );
}

/** A range that allows nothing is a typing error. */
function assertDown({ downgradeFrom: from, version }: BundleLabels): void {
  if (from === undefined || compareVersions(from, version) > 0) return;
  throw new DroverError(
    'USAGE',
    `build ${version}: --downgrade-from is not above the version (got ${from}, want above ${version})`,
  );
}

/**
 * A payload that every robot would refuse to unpack is not worth signing.
 * @param imageBytes size of a system image; left out for a tree
 */
export function assertPayloadWithinLimits(payload: Payload, imageBytes?: number): void {
  if (payload.bytes > LIMITS.payloadBytesMax) {
    throw new DroverError(
      'PAYLOAD_TOO_LARGE',
      `build: payload too large (got ${payload.bytes} bytes, want at most ${LIMITS.payloadBytesMax})`,
      { hint: 'split the application into components with --name' },
    );
  }
  assertUnpackedWithin(payload.tarBytes, boundingBytes(payload.bytes, imageBytes), 'the payload');
}
