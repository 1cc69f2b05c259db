/**
 * Turns the options of a command line into one rollout of an announcement. Randomness is a
 * parameter. Sans-I/O.
 */

import { budgetSchema, tagsSchema, type RolloutFields } from '../../shared/formats/announcement.ts';
import { bytesToBase64 } from '../../shared/crypto/bytes.ts';
import type { VerifiedBundle } from '../../shared/formats/bundle-signature.ts';
import { DroverError } from '../../shared/base/errors.ts';
import type { GatesFields } from '../../shared/formats/gates.ts';
import { assertBounds } from '../../shared/rules/release-word.ts';
import { needsSeveral } from '../../shared/rules/approvers.ts';
import { parseRobotId, parseRolloutId, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';

export interface Audience {
  readonly tags: readonly string[];
  readonly robots: readonly string[];
  readonly salt: string;
  readonly waves: readonly number[];
  /**
   * One for all, or one for each wave; with canaries a further one, which is theirs and comes
   * first.
   */
  readonly soaksMs: readonly number[];
  readonly emergency: boolean;
  /** Robots that come before the first wave. */
  readonly canaries: { readonly tags: readonly string[]; readonly robots: readonly string[] };
  /** Waves after which an operator has to approve; 0 for the canaries. */
  readonly approveAfter: readonly number[];
  /** Different users that have to approve each of these waves. */
  readonly approvers: number;
  /** User that signs in at the broker; null for none. */
  readonly publisher: string | null;
  readonly gates: GatesFields;
  /** Null leaves it to the format's default. */
  readonly lateSpreadMs: number | null;
  readonly healthTimeoutMs: number | null;
  readonly minCanaries: number;
  /** How many robots of one place may be out of service at once; null for any number. */
  readonly budget: {
    readonly atMost: number;
    /** `fleet` or `tag:NAME`. */
    readonly per: string;
    /** Null leaves it to the format's default. */
    readonly leaseMs: number | null;
  } | null;
  /** When it starts, as the format has it; empty for at once. */
  readonly start: Pick<RolloutFields, 'start_at' | 'start_local'>;
}

export interface StoredPayload {
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly indexHash: Sha256Hex;
}

export interface StoredBundle {
  readonly payload: StoredPayload;
  /** The deltas to the payload. */
  readonly deltas: readonly StoredPayload[];
  readonly attachments: readonly (StoredPayload & { readonly kind: string })[];
  /** As it goes into the announcement; null when the bundle has none. */
  readonly logProof: string | null;
}

/** @throws DroverError USAGE, CHUNK_TOO_LARGE, RELEASE_BOUNDS */
export function planRollout(
  id: string,
  bundle: VerifiedBundle,
  stored: StoredBundle,
  audience: Audience,
): RolloutFields {
  const [first, ...more] = bundle.signatures;
  if (!first) throw new TypeError('planRollout: a verified bundle has a signature');
  const target = { tags: parseTags('tags', audience.tags), robots: audience.robots };
  const rollout: RolloutFields = {
    id: parseRolloutId(id),
    manifest: bytesToBase64(bundle.manifestBytes),
    signature: bytesToBase64(first),
    ...(more.length > 0 ? { cosignatures: more.map(bytesToBase64) } : {}),
    artifacts: [
      artifactOf('full', stored.payload),
      ...stored.deltas.map((delta) => artifactOf('zstd-patch', delta)),
    ],
    ...(stored.attachments.length > 0 && {
      attachments: stored.attachments.map((one) => artifactOf(one.kind, one)),
    }),
    ...(stored.logProof !== null && { log_proof: stored.logProof }),
    target: { ...target, robots: target.robots.map(parseRobotId) },
    salt: audience.salt,
    emergency: audience.emergency,
    ...planSteps(audience),
    ...(audience.healthTimeoutMs === null
      ? {}
      : { health_timeout_s: healthTimeoutS(audience.healthTimeoutMs) }),
    min_canaries: audience.minCanaries,
    ...audience.start,
    ...(audience.budget && { budget: planBudget(audience.budget) }),
  };
  assertBounds(bundle.manifest, rollout);
  return rollout;
}

function artifactOf<K extends string>(
  kind: K,
  { sha256, bytes, chunkBytes, indexHash }: StoredPayload,
) {
  return { kind, sha256, size: bytes, chunk_size: chunkBytes, chunk_index: indexHash };
}

type Steps = Pick<
  RolloutFields,
  'waves' | 'gates' | 'canaries' | 'approve_after' | 'approvers' | 'published_by' | 'late_spread_s'
>;

/** The order of the waves and their approvals. Left out where the format's default applies. */
function planSteps(audience: Audience): Steps {
  const { waves, canaries, approveAfter, gates, lateSpreadMs } = audience;
  const hasCanaries = canaries.tags.length > 0 || canaries.robots.length > 0;
  if (audience.emergency && (hasCanaries || approveAfter.length > 0)) {
    throw new DroverError(
      'USAGE',
      'plan rollout: an emergency goes to everybody at once (without canaries or approval)',
    );
  }
  assertApproved(approveAfter, { waves: waves.length, hasCanaries });
  const { ofCanaries, ofWaves: soaks } = soaksFor(waves.length, hasCanaries, audience.soaksMs);
  return {
    waves: waves.map((percent, at) => ({ percent, soak_s: soaks[at] ?? 0 })),
    gates,
    ...(hasCanaries && {
      canaries: {
        tags: parseTags('canary-tags', canaries.tags),
        robots: canaries.robots.map(parseRobotId),
        ...(ofCanaries !== null && { soak_s: ofCanaries }),
      },
    }),
    ...(approveAfter.length > 0 && { approve_after: [...approveAfter] }),
    ...planApprovers(audience),
    ...(lateSpreadMs !== null && { late_spread_s: lateSpreadS(lateSpreadMs) }),
  };
}

/** Whole seconds for each wave; null for canaries that soak as long as the first wave. */
function soaksFor(
  waves: number,
  hasCanaries: boolean,
  soaksMs: readonly number[],
): { ofCanaries: number | null; ofWaves: number[] } {
  const seconds = soaksMs.map((ms) => Math.round(ms / 1000));
  const [first = 0, ...others] = seconds;
  if (seconds.length === waves) return { ofCanaries: null, ofWaves: seconds };
  if (hasCanaries && others.length === waves) return { ofCanaries: first, ofWaves: others };
  if (seconds.length === 1) {
    return { ofCanaries: null, ofWaves: Array.from({ length: waves }, () => first) };
  }
  const all = waves === 1 ? '1' : `1 or ${waves}`;
  const want = hasCanaries ? `${all}, or ${waves + 1} with the canaries first` : all;
  throw new DroverError(
    'USAGE',
    `read --soak: want one span, or one for each wave (got ${seconds.length}, want ${want})`,
  );
}

/** An approval that no wave could wait for is a mistake that would let a rollout run on. */
function assertApproved(
  approveAfter: readonly number[],
  { waves, hasCanaries }: { waves: number; hasCanaries: boolean },
): void {
  const first = hasCanaries ? 0 : 1;
  const wrong = approveAfter.find((wave) => wave < first || wave >= waves);
  if (wrong === undefined) return;
  const range = waves > first ? `want ${first} to ${waves - 1}` : 'this rollout has one wave';
  throw new DroverError(
    'USAGE',
    `read --approve: no wave opens after wave ${wrong} (${range}; 0 is for canaries)`,
  );
}

/** Absent where one person is enough: the format's default. */
function planApprovers({
  approvers,
  publisher,
  approveAfter,
}: Audience): Pick<RolloutFields, 'approvers' | 'published_by'> {
  if (!needsSeveral({ approvers })) return {};
  if (approveAfter.length === 0) {
    throw new DroverError(
      'USAGE',
      'read --approvers: no wave waits for a person, so it would do nothing',
      { hint: 'name the waves as well: --approve 1,2; or leave --approvers out' },
    );
  }
  if (publisher !== null) return { approvers, published_by: publisher };
  throw new DroverError(
    'USAGE',
    `read --approvers: ${approvers} users other than the publisher have to approve, and the publisher has no user name`,
    {
      hint: 'sign in at the broker: --username NAME --password-file FILE, for a broker with --credentials; without users a broker cannot tell two persons apart',
    },
  );
}

/** @throws DroverError USAGE */
function planBudget({ atMost, per, leaseMs }: NonNullable<Audience['budget']>) {
  const leaseS = leaseMs === null ? {} : { lease_s: Math.round(leaseMs / 1000) };
  const result = budgetSchema.safeParse({ at_most: atMost, per, ...leaseS });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const { placeLeaseSecondsMin: least, placeLeaseSecondsMax: most } = LIMITS;
  if (issue?.path[0] === 'lease_s') {
    const got = `got ${leaseS.lease_s} s, want ${least} to ${most} s`;
    throw new DroverError('USAGE', `read --place-lease: out of range (${got})`);
  }
  throw new DroverError('USAGE', `read --per: ${issue?.message ?? 'bad'} (got ${printable(per)})`);
}

function lateSpreadS(ms: number): number {
  if (ms <= LIMITS.lateSpreadSecondsMax * 1000) return Math.round(ms / 1000);
  throw new DroverError(
    'USAGE',
    `read --late-spread: too long (got ${ms / 1000} s, want at most ${LIMITS.lateSpreadSecondsMax} s)`,
  );
}

/** `app-1-4-2-k3f9`: topic levels hold no dots. */
export function rolloutIdFor(name: string, version: string, random: () => number): string {
  const suffix = Math.floor(random() * 36 ** 4)
    .toString(36)
    .padStart(4, '0');
  const stem = `${name}-${version.replaceAll(/[.+]/g, '-')}`;
  return `${stem.slice(0, LIMITS.idLengthMax - suffix.length - 1)}-${suffix}`;
}

/** `1,10,50,100`: rising percentages. @throws DroverError USAGE */
export function parseWaves(text: string): number[] {
  const waves = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  const rises = waves.every((percent, at) => percent > (waves[at - 1] ?? 0) && percent <= 100);
  if (rises && waves.length <= LIMITS.wavesMax) return waves;
  throw new DroverError(
    'USAGE',
    `read --waves: want rising percentages above 0 and up to 100, at most ${LIMITS.wavesMax} (got ${JSON.stringify(text.slice(0, 80))})`,
  );
}

/** `1,2`: wave numbers. @throws DroverError USAGE */
export function parseWaveNumbers(words: readonly string[]): number[] {
  const wrong = words.find((word) => !/^\d{1,3}$/.test(word));
  if (wrong === undefined) return [...new Set(words.map(Number))].sort((a, b) => a - b);
  throw new DroverError(
    'USAGE',
    `read --approve: want numbers of waves such as 1,2 (got ${JSON.stringify(wrong.slice(0, 40))})`,
  );
}

function parseTags(option: string, tags: readonly string[]): string[] {
  const result = tagsSchema.safeParse(tags);
  if (result.success) return result.data;
  throw new DroverError('USAGE', `read --${option}: ${result.error.issues[0]?.message ?? 'bad'}`);
}

function healthTimeoutS(ms: number): number {
  if (ms >= 1000 && ms <= LIMITS.healthTimeoutMsMax) return Math.round(ms / 1000);
  throw new DroverError(
    'USAGE',
    `read --health-timeout: out of range (got ${ms / 1000} s, want 1 to ${LIMITS.healthTimeoutMsMax / 1000} s)`,
  );
}

/** @throws DroverError USAGE, CHUNK_TOO_LARGE */
export function assertChunkBytes(chunkBytes: number): void {
  if (chunkBytes > LIMITS.chunkBytesMax) {
    throw new DroverError(
      'CHUNK_TOO_LARGE',
      `read --chunk-size: too large (got ${chunkBytes} bytes, want at most ${LIMITS.chunkBytesMax})`,
    );
  }
  if (chunkBytes >= LIMITS.chunkBytesMin) return;
  throw new DroverError(
    'USAGE',
    `read --chunk-size: too small (got ${chunkBytes} bytes, want at least ${LIMITS.chunkBytesMin})`,
  );
}
