/**
 * A valid world for tests: keys, trust, signed bundles cut into chunks, announcements. Everything
 * is made by the shared core, so a test that wants something invalid changes one thing of a world
 * that holds. The seeds are fixed: a failure shows the same bytes every time.
 */

import { pack } from 'tar-stream';
import { gzipSync } from 'node:zlib';
import { type AnnouncementFields, type RolloutFields } from '../../shared/formats/announcement.ts';
import { bytesToBase64, utf8 } from '../../shared/crypto/bytes.ts';
import { encodeChunkIndex } from '../../shared/transfer/chunk-index.ts';
import { publicKeyOf, type PublicKeyHex } from '../../shared/crypto/ed25519.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import type { Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { encodeManifest, type ManifestFields } from '../../shared/formats/manifest.ts';
import { type ProgressFields } from '../../shared/formats/progress.ts';
import { parseTrust, type RoleName, type TrustRoot } from '../../shared/formats/trust.ts';
import { announcementNow, bundleSignatureNow, progressNow } from './sign-now.ts';

const ISSUED_AT = '2026-01-01T00:00:00Z';
/** Far away: tests do not depend on the day they run. */
const EXPIRES_AT = '2099-01-01T00:00:00Z';

/** A raw 32-byte seed of one repeated byte. */
export const fixedSeed = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

export interface SignedBundle {
  readonly manifestBytes: Uint8Array;
  readonly signature: Uint8Array;
  readonly payload: Uint8Array;
  readonly artifact: RolloutFields['artifacts'][number];
  /** Every chunk of the payload and the chunk index, by content address. */
  readonly chunks: ReadonlyMap<Sha256Hex, Uint8Array>;
}

export interface BundleInput {
  readonly version: string;
  /** Bytes of payload.tar.gz; a small real one by default. */
  readonly payload?: Uint8Array;
  readonly chunkBytes?: number;
  readonly manifest?: Partial<ManifestFields>;
}

export interface TestFleet {
  readonly seeds: Readonly<Record<RoleName, Uint8Array>>;
  readonly keys: Readonly<Record<RoleName, PublicKeyHex>>;
  /** trust.json as it stands on a robot. */
  readonly trustBytes: Uint8Array;
  readonly trust: TrustRoot;
  makeBundle(input: BundleInput): Promise<SignedBundle>;
  /** One rollout to everybody at once, unless `more` says otherwise. */
  makeRollout(id: string, bundle: SignedBundle, more?: Partial<RolloutFields>): RolloutFields;
  announce(
    seq: number,
    rollouts: readonly RolloutFields[],
    more?: Partial<AnnouncementFields>,
  ): Uint8Array;
  progress(fields: Partial<ProgressFields> & { rollout: string; seq: number }): Uint8Array;
}

export function makeFleet(fleet = 'test'): TestFleet {
  const seeds = { root: fixedSeed(1), release: fixedSeed(2), rollout: fixedSeed(3) };
  const keys = {
    root: publicKeyOf(seeds.root),
    release: publicKeyOf(seeds.release),
    rollout: publicKeyOf(seeds.rollout),
  };
  const role = (key: PublicKeyHex) => ({ keys: [key], threshold: 1 });
  const roles = { root: role(keys.root), release: role(keys.release), rollout: role(keys.rollout) };
  const trustBytes = utf8(JSON.stringify({ version: 1, fleet, expires: EXPIRES_AT, roles }));
  const window = { issued_at: ISSUED_AT, expires_at: EXPIRES_AT };
  return {
    seeds,
    keys,
    trustBytes,
    trust: parseTrust(trustBytes),
    makeBundle: (input) => makeBundle(input, seeds.release),
    makeRollout,
    announce: (seq, rollouts, more = {}) =>
      announcementNow({ fleet, seq, ...window, rollouts: [...rollouts], ...more }, [seeds.rollout]),
    progress: (fields) =>
      progressNow({ fleet, ...window, wave: 0, threshold: 1, status: 'rolling', ...fields }, [
        seeds.rollout,
      ]),
  };
}

async function makeBundle(input: BundleInput, seed: Uint8Array): Promise<SignedBundle> {
  const { version, chunkBytes = LIMITS.chunkBytesMin } = input;
  const payload = input.payload ?? (await tarGz({ 'VERSION.txt': `${version}\n` }));
  const payloadSha256 = sha256Hex(payload);
  const manifestBytes = encodeManifest({
    version,
    min_current_version: '0.0.0',
    target_arch: 'any',
    payload_sha256: payloadSha256,
    rollback_version: '0.0.0',
    apply_strategy: 'atomic_swap',
    payload_size: payload.byteLength,
    ...input.manifest,
  });
  const { index, chunks } = cutChunks(payload, chunkBytes);
  return {
    manifestBytes,
    signature: bundleSignatureNow(manifestBytes, payloadSha256, seed),
    payload,
    chunks,
    artifact: {
      kind: 'full',
      sha256: payloadSha256,
      size: payload.byteLength,
      chunk_size: chunkBytes,
      chunk_index: index,
    },
  };
}

/** Cuts a payload into chunks and adds their index, as publish does. */
export function cutChunks(
  payload: Uint8Array,
  chunkBytes: number,
): { index: Sha256Hex; chunks: Map<Sha256Hex, Uint8Array> } {
  const chunks = new Map<Sha256Hex, Uint8Array>();
  const hashes: Sha256Hex[] = [];
  for (let at = 0; at < payload.byteLength; at += chunkBytes) {
    const chunk = payload.slice(at, at + chunkBytes);
    const hash = sha256Hex(chunk);
    hashes.push(hash);
    chunks.set(hash, chunk);
  }
  const indexBytes = encodeChunkIndex(hashes);
  const index = sha256Hex(indexBytes);
  chunks.set(index, indexBytes);
  return { index, chunks };
}

function makeRollout(
  id: string,
  bundle: SignedBundle,
  more: Partial<RolloutFields> = {},
): RolloutFields {
  return {
    id,
    manifest: bytesToBase64(bundle.manifestBytes),
    signature: bytesToBase64(bundle.signature),
    artifacts: [bundle.artifact],
    salt: 'test',
    waves: [{ percent: 100 }],
    ...more,
  };
}

/** A payload.tar.gz of small files; a file whose mode matters is given as an object. */
export async function tarGz(
  files: Readonly<Record<string, string | { text: string; mode: number }>>,
): Promise<Uint8Array> {
  const archive = pack();
  for (const [name, file] of Object.entries(files)) {
    const { text, mode } = typeof file === 'string' ? { text: file, mode: 0o644 } : file;
    archive.entry({ name, mode, mtime: new Date(0) }, text);
  }
  archive.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of archive) pieces.push(piece as Buffer);
  return new Uint8Array(gzipSync(Buffer.concat(pieces)));
}
