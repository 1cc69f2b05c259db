/**
 * Tells whether a robot runs a given release. A release is its payload: a version is only its name,
 * and a name that was given to other bytes must not count as installed. Sans-I/O. Robot, broker and
 * publisher apply this one rule. Build metadata takes no part in the order of versions, so
 * `1.0.0+a` and `1.0.0+b` are one version here; with other bytes the second one is refused.
 */

import type { Sha256Hex } from '../base/ids.ts';
import { sha256Hex } from '../crypto/hash.ts';
import { compareVersions } from '../base/version.ts';

export interface RunningRelease {
  readonly version: string;
  /** Null when the robot does not know it: an older agent, or an adopted release. */
  readonly payloadSha256: string | null;
}

export interface OfferedRelease {
  readonly version: string;
  readonly payload_sha256: string;
}

/**
 * - `same`: it runs, as far as the robot can tell
 * - `reused`: the version runs, with other bytes
 * - `newer`, `older`: the offer, compared with the active release
 */
export type ReleaseOrder = 'same' | 'reused' | 'newer' | 'older';

export function compareReleases(offered: OfferedRelease, running: RunningRelease): ReleaseOrder {
  const order = compareVersions(offered.version, running.version);
  if (order !== 0) return order > 0 ? 'newer' : 'older';
  const { payloadSha256 } = running;
  if (payloadSha256 !== null) {
    return payloadSha256 === offered.payload_sha256 ? 'same' : 'reused';
  }
  // An unknown payload is given the benefit of the doubt under its own name only.
  return offered.version === running.version ? 'same' : 'reused';
}

/** The active release in a report; null for none. */
export function runningRelease(component: {
  readonly version: string | null;
  readonly payload_sha256?: string | null | undefined;
}): RunningRelease | null {
  const { version, payload_sha256: payloadSha256 } = component;
  return version === null ? null : { version, payloadSha256: payloadSha256 ?? null };
}

/** True unless the report says that this version was installed from other bytes. */
export function runsRelease(
  component: Parameters<typeof runningRelease>[0],
  offered: OfferedRelease,
): boolean {
  const running = runningRelease(component);
  return running !== null && compareReleases(offered, running) === 'same';
}

/** Names a release in progress: the hash of the manifest that a release key signed. */
export const releaseOf = (manifest: Uint8Array): Sha256Hex => sha256Hex(manifest);

/**
 * True when progress is about this release (`releaseOf`). A rollout id may be used again, and
 * progress of the former release must not open, stop or recall the new one. A controller of 0.1
 * does not name the release.
 */
export const isAbout = (
  progress: { readonly release?: string | undefined },
  release: Sha256Hex,
): boolean => progress.release === undefined || progress.release === release;
