/**
 * One small fleet, computed by the real code from fixed seeds: the worked example of
 * docs/protocol.md and, as test/vectors/worked-example.json, what an implementation in another
 * language can be tested against. The payload is given as bytes, since gzip is free to compress
 * differently; everything else follows from it. Pure.
 */

import { parseRobotId, parseRolloutId } from '../shared/base/ids.ts';
import { LIMITS } from '../shared/base/limits.ts';
import { bytesToBase64, bytesToHex, hexToBytes, utf8 } from '../shared/crypto/bytes.ts';
import { keyIdOf, publicKeyOf, seedSigner } from '../shared/crypto/ed25519.ts';
import { sha256Hex } from '../shared/crypto/hash.ts';
import { signAnnouncement, type AnnouncementFields } from '../shared/formats/announcement.ts';
import { signBundle } from '../shared/formats/bundle-signature.ts';
import { PAYLOAD_TYPES, preAuthEncoding } from '../shared/formats/envelope.ts';
import { encodeManifest } from '../shared/formats/manifest.ts';
import { signProgress } from '../shared/formats/progress.ts';
import { chunkTopic, progressTopic, UPDATES_TOPIC } from '../shared/formats/topics.ts';
import { cohortFraction } from '../shared/rules/rollout-rules.ts';
import { encodeChunkIndex } from '../shared/transfer/chunk-index.ts';

/** payload.tar.gz: one file VERSION.txt that holds `1.1.0` and a line feed. */
const PAYLOAD_HEX =
  '1f8b08000000000002030b730d0af6f4f7d32ba92861a0153030303033315100d1060606e83408982920d8060a0686860626e60a0c060c7400a5c52589450c060654f0248ae7860830d433d433e0621805a360148c825130c20000a10e682300080000';
const ROLLOUT = parseRolloutId('app-1-1-0');
const WINDOW = { issued_at: '2026-01-01T00:00:00Z', expires_at: '2026-01-31T00:00:00Z' };
const FLEET = 'example';
const SALT = 'example-salt';

const seedOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

function keyOf(byte: number) {
  const publicKey = publicKeyOf(seedOf(byte));
  return { seed: bytesToHex(seedOf(byte)), public_key: publicKey, keyid: keyIdOf(publicKey) };
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export async function makeWorkedExample() {
  const keys = { root: keyOf(1), release: keyOf(2), rollout: keyOf(3) };
  const bundle = await makeBundle();
  const announcement = makeAnnouncement(bundle);
  const progress = {
    fleet: FLEET,
    rollout: ROLLOUT,
    seq: 1,
    ...WINDOW,
    wave: 1,
    threshold: 0.1,
    status: 'rolling',
  } as const;
  const announcementBytes = utf8(JSON.stringify(announcement));
  const announcementSigned = preAuthEncoding(PAYLOAD_TYPES.announcement, announcementBytes);
  return {
    keys,
    trust_json: makeTrust(keys),
    bundle,
    announcement: {
      topic: UPDATES_TOPIC,
      payload: textOf(announcementBytes),
      signed_bytes_sha256: sha256Hex(announcementSigned),
      message: textOf(await signAnnouncement(announcement, [seedSigner(seedOf(3))])),
    },
    progress: {
      topic: progressTopic(ROLLOUT),
      payload: JSON.stringify(progress),
      message: textOf(await signProgress(progress, [seedSigner(seedOf(3))])),
    },
    cohort: ['r1', 'r2', 'r13'].map((robot) => ({
      salt: SALT,
      robot,
      sha256: sha256Hex(utf8(`${SALT}\0${robot}`)),
      fraction: cohortFraction(SALT, parseRobotId(robot)),
    })),
  };
}

export type WorkedExample = Awaited<ReturnType<typeof makeWorkedExample>>;

function makeTrust(keys: Record<'root' | 'release' | 'rollout', { public_key: string }>): string {
  const role = (key: string) => ({ keys: [key], threshold: 1 });
  return JSON.stringify({
    version: 1,
    fleet: FLEET,
    expires: '2027-01-01T00:00:00Z',
    roles: {
      root: role(keys.root.public_key),
      release: role(keys.release.public_key),
      rollout: role(keys.rollout.public_key),
    },
  });
}

async function makeBundle() {
  const payload = hexToBytes(PAYLOAD_HEX);
  if (!payload) throw new TypeError('makeBundle: PAYLOAD_HEX is not hex');
  const payloadSha256 = sha256Hex(payload);
  const manifest = encodeManifest({
    version: '1.1.0',
    min_current_version: '1.0.0',
    target_arch: 'any',
    payload_sha256: payloadSha256,
    rollback_version: '1.0.0',
    apply_strategy: 'atomic_swap',
    payload_size: payload.byteLength,
  });
  const index = encodeChunkIndex([payloadSha256]);
  const indexSha256 = sha256Hex(index);
  return {
    payload_hex: PAYLOAD_HEX,
    payload_sha256: payloadSha256,
    payload_topic: chunkTopic(payloadSha256),
    manifest_json: textOf(manifest),
    manifest_hex: bytesToHex(manifest),
    signature_hex: bytesToHex(await signBundle(manifest, payloadSha256, seedSigner(seedOf(2)))),
    chunk_size: LIMITS.chunkBytesDefault,
    chunk_index_hex: bytesToHex(index),
    chunk_index_sha256: indexSha256,
    chunk_index_topic: chunkTopic(indexSha256),
  };
}

function makeAnnouncement(bundle: Awaited<ReturnType<typeof makeBundle>>): AnnouncementFields {
  const base64 = (hex: string): string => bytesToBase64(hexToBytes(hex) ?? new Uint8Array());
  return {
    fleet: FLEET,
    seq: 1,
    ...WINDOW,
    rollouts: [
      {
        id: ROLLOUT,
        manifest: base64(bundle.manifest_hex),
        signature: base64(bundle.signature_hex),
        artifacts: [
          {
            kind: 'full',
            sha256: bundle.payload_sha256,
            size: bundle.payload_hex.length / 2,
            chunk_size: bundle.chunk_size,
            chunk_index: bundle.chunk_index_sha256,
          },
        ],
        salt: SALT,
        waves: [{ percent: 10, soak_s: 1800 }, { percent: 100 }],
      },
    ],
  };
}
