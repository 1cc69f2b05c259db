/** A valid little world for robot tests: keys, trust, signed rollouts. Everything in it is real. */

import { randomBytes } from 'node:crypto';
import {
  openAnnouncement,
  type Announcement,
  type RolloutFields,
} from '../../shared/formats/announcement.ts';
import { bytesToBase64 } from '../../shared/crypto/bytes.ts';
import { publicKeyOf } from '../../shared/crypto/ed25519.ts';
import { sha256Hex } from '../../shared/crypto/hash.ts';
import { parseRobotId, type Sha256Hex } from '../../shared/base/ids.ts';
import { encodeManifest, type ManifestFields } from '../../shared/formats/manifest.ts';
import { parseTrust, type TrustRoot } from '../../shared/formats/trust.ts';
import type { RobotFacts } from '../../robot-client/update/verdict.ts';
import { announcementNow, bundleSignatureNow } from '../helpers/sign-now.ts';

export const NOW = Date.parse('2026-06-01T00:00:00Z');

export interface World {
  readonly releaseSeed: Uint8Array;
  readonly rolloutSeed: Uint8Array;
  readonly trust: TrustRoot;
}

export function makeWorld(fleet = 'acme'): World {
  const releaseSeed = new Uint8Array(randomBytes(32));
  const rolloutSeed = new Uint8Array(randomBytes(32));
  const role = (seed: Uint8Array) => ({ keys: [publicKeyOf(seed)], threshold: 1 });
  const trust = {
    version: 1,
    fleet,
    expires: '2036-01-01T00:00:00Z',
    roles: { root: role(releaseSeed), release: role(releaseSeed), rollout: role(rolloutSeed) },
  };
  const bytes = new TextEncoder().encode(JSON.stringify(trust));
  return { releaseSeed, rolloutSeed, trust: parseTrust(bytes) };
}

export function makeRollout(
  world: World,
  manifest: Partial<ManifestFields> & { version: string },
  more: Partial<RolloutFields> = {},
): RolloutFields {
  const payloadSha256 =
    (manifest.payload_sha256 as Sha256Hex | undefined) ??
    sha256Hex(new TextEncoder().encode(`payload of ${manifest.version}`));
  const manifestBytes = encodeManifest({
    min_current_version: '0.0.0',
    target_arch: 'any',
    payload_sha256: payloadSha256,
    rollback_version: '0.0.0',
    apply_strategy: 'atomic_swap',
    ...manifest,
  });
  const signature = bundleSignatureNow(manifestBytes, payloadSha256, world.releaseSeed);
  return {
    id: `app-${manifest.version.replaceAll(/[.+]/g, '-')}`,
    manifest: bytesToBase64(manifestBytes),
    signature: bytesToBase64(signature),
    artifacts: [
      {
        kind: 'full',
        sha256: payloadSha256,
        size: 1000,
        chunk_size: 262_144,
        chunk_index: sha256Hex(new TextEncoder().encode('index')),
      },
    ],
    salt: world.trust.fleet,
    waves: [{ percent: 100 }],
    ...more,
  };
}

/** Signed and opened again, as a robot gets it. */
export function announce(world: World, rollouts: RolloutFields[], seq = 7): Announcement {
  const fields = {
    fleet: world.trust.fleet,
    seq,
    issued_at: '2026-05-31T00:00:00Z',
    expires_at: '2026-07-01T00:00:00Z',
    rollouts,
  };
  return openAnnouncement(announcementNow(fields, [world.rolloutSeed]), world.trust);
}

export function factsOf(world: World, more: Partial<RobotFacts> = {}): RobotFacts {
  return {
    robot: parseRobotId('r1'),
    component: 'app',
    arch: 'aarch64',
    tags: ['floor2', 'beta'],
    version: '1.0.0',
    blocked: [],
    trust: world.trust,
    progress: new Map(),
    completeSince: new Map(),
    joined: null,
    now: NOW,
    ...more,
  };
}
