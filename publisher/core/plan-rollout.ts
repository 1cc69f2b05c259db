/**
 * From the words of a command line to one rollout of an announcement. Pure; randomness comes in as
 * a parameter.
 */

import { tagsSchema, type RolloutFields } from '../../shared/announcement.ts';
import { bytesToBase64 } from '../../shared/bytes.ts';
import type { VerifiedBundle } from '../../shared/bundle-signature.ts';
import { DroverError } from '../../shared/errors.ts';
import { parseRobotId, parseRolloutId, type Sha256Hex } from '../../shared/ids.ts';
import { LIMITS } from '../../shared/limits.ts';

export interface Audience {
  readonly tags: readonly string[];
  readonly robots: readonly string[];
  readonly salt: string;
  readonly waves: readonly number[];
  readonly soakMs: number;
  readonly emergency: boolean;
  readonly healthTimeoutMs: number | null;
  readonly minCanaries: number;
}

export interface StoredPayload {
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly indexHash: Sha256Hex;
}

/** @throws DroverError USAGE, CHUNK_TOO_LARGE */
export function planRollout(
  id: string,
  bundle: VerifiedBundle,
  payload: StoredPayload,
  audience: Audience,
): RolloutFields {
  const [first, ...more] = bundle.signatures;
  if (!first) throw new TypeError('planRollout: a verified bundle has a signature');
  return {
    id: parseRolloutId(id),
    manifest: bytesToBase64(bundle.manifestBytes),
    signature: bytesToBase64(first),
    ...(more.length > 0 ? { cosignatures: more.map(bytesToBase64) } : {}),
    artifacts: [
      {
        kind: 'full',
        sha256: payload.sha256,
        size: payload.bytes,
        chunk_size: payload.chunkBytes,
        chunk_index: payload.indexHash,
      },
    ],
    target: { tags: parseTags(audience.tags), robots: audience.robots.map(parseRobotId) },
    salt: audience.salt,
    waves: audience.waves.map((percent) => ({
      percent,
      soak_s: Math.round(audience.soakMs / 1000),
    })),
    gates: {},
    emergency: audience.emergency,
    ...(audience.healthTimeoutMs === null
      ? {}
      : { health_timeout_s: healthTimeoutS(audience.healthTimeoutMs) }),
    min_canaries: audience.minCanaries,
  };
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

function parseTags(tags: readonly string[]): string[] {
  const result = tagsSchema.safeParse(tags);
  if (result.success) return result.data;
  throw new DroverError('USAGE', `read --tags: ${result.error.issues[0]?.message ?? 'bad'}`);
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
