/**
 * Decides by the bounds that only a release key can set: how far down a robot may go, and how lax
 * an announcement may be. A thief of a rollout key can offer every version that was ever released;
 * these rules let that delay robots, but neither downgrade them nor ruin a release for them.
 * Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import type { RolloutFields } from '../formats/announcement.ts';
import type { Manifest } from '../formats/manifest.ts';
import { gatesSchema, type Gates } from '../formats/gates.ts';
import { compareVersions } from '../base/version.ts';

/** True when the release key allows robots that run or ran up to `from` to downgrade to this. */
export function mayGoDown(
  { downgrade_from: bound }: Pick<Manifest, 'downgrade_from'>,
  from: string,
): boolean {
  return bound !== undefined && compareVersions(bound, from) >= 0;
}

/** The versions that a robot confirmed before, as far as known. */
export interface Confirmed {
  /** The highest version, less what a signed downgrade took back; null or absent for unknown. */
  readonly highest?: string | null | undefined;
  /** Payloads that ran here and were confirmed. */
  readonly ran?: readonly string[];
}

/**
 * True for a version that is lower than the confirmed one, has not run here, and that no release
 * key allows as a downgrade.
 */
export function isBelowHighest(
  bundle: Pick<Manifest, 'version' | 'payload_sha256' | 'downgrade_from'>,
  { highest, ran = [] }: Confirmed,
): boolean {
  if (highest === null || highest === undefined) return false;
  if (compareVersions(bundle.version, highest) >= 0) return false;
  return !ran.includes(bundle.payload_sha256) && !mayGoDown(bundle, highest);
}

/** The confirmed versions after one more: a signed downgrade lowers the highest. */
export function highestAfter(
  highest: string | null,
  confirmed: { readonly version: string; readonly downgradeFrom: string | null },
): string {
  const { version, downgradeFrom } = confirmed;
  if (highest === null || compareVersions(version, highest) >= 0) return version;
  return mayGoDown({ downgrade_from: downgradeFrom ?? undefined }, highest) ? version : highest;
}

type Bounded = Pick<RolloutFields, 'health_timeout_s' | 'gates'>;

/** How an announcement falls below the bounds of the manifest; null when it does not. */
export function brokenBound({ bounds }: Pick<Manifest, 'bounds'>, rollout: Bounded): string | null {
  if (bounds === undefined) return null;
  const { health_timeout_s: asked } = rollout;
  const { health_timeout_min_s: least = 0, gates: floor = {} } = bounds;
  if (asked !== undefined && asked < least) {
    return `health_timeout_s is too short (got ${asked}, want at least ${least})`;
  }
  const gates = gatesSchema.parse(rollout.gates ?? {});
  const lax = (Object.keys(floor) as (keyof typeof floor)[]).find(
    (name) => !isAsStrict(name, gates, floor[name]),
  );
  return lax ? `gate ${lax} is too lax (got ${gates[lax]}, want ${floor[lax]})` : null;
}

/** More is stricter, less is stricter, or it has to be on. */
function isAsStrict(name: keyof Gates, gates: Gates, bound: number | boolean | undefined): boolean {
  const got = gates[name];
  if (bound === undefined || bound === false) return true;
  if (bound === true) return got === true;
  if (typeof got !== 'number') return false;
  return name === 'crashes_per_hour_max' || name === 'ratio_tolerated'
    ? got <= bound
    : got >= bound;
}

/** @throws DroverError RELEASE_BOUNDS */
export function assertBounds(
  manifest: Pick<Manifest, 'name' | 'version' | 'bounds'>,
  rollout: Bounded,
): void {
  const broken = brokenBound(manifest, rollout);
  if (broken === null) return;
  const what = `announce ${manifest.name} ${manifest.version}`;
  throw new DroverError('RELEASE_BOUNDS', `${what}: its manifest does not allow it: ${broken}`);
}
