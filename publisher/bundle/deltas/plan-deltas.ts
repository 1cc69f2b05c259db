/**
 * Decides which versions a bundle may have deltas from: a base that no robot could ever patch from
 * is refused before gigabytes are read. Sans-I/O.
 */

import { archFits } from '../../../shared/rules/rollout-rules.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { compareVersions, isVersion } from '../../../shared/base/version.ts';
import type { BundleLabels } from '../plan-bundle.ts';

export interface BaseWords {
  /** Null for a bundle, whose manifest names it. */
  readonly version: string | null;
  readonly path: string;
}

/** `BUNDLE`, or `VERSION=FILE` for a tar or an image that is in no bundle. */
export function parseDeltaFrom(text: string): BaseWords {
  const cut = text.indexOf('=');
  const version = text.slice(0, Math.max(0, cut));
  return isVersion(version)
    ? { version, path: text.slice(cut + 1) }
    : { version: null, path: text };
}

/** Share of the payload: a larger delta is not worth a robot's work and disk. */
const WORTH_MAX = 0.9;

export function isWorthwhile(deltaBytes: number, payloadBytes: number): boolean {
  return deltaBytes <= payloadBytes * WORTH_MAX;
}

/**
 * Those that a bundle has room for. The smaller one of each base comes first, in the order of the
 * bases, then the others.
 */
export function keptDeltas<T extends { readonly from_version: string; readonly size: number }>(
  deltas: readonly T[],
): T[] {
  const isSmallest = (one: T): boolean =>
    deltas.find(({ from_version, size }) => {
      if (from_version !== one.from_version) return false;
      return size <= one.size;
    }) === one;
  const first = deltas.filter(isSmallest);
  const others = deltas.filter((one) => !first.includes(one));
  return [...first, ...others].slice(0, LIMITS.deltasMax);
}

export interface BaseLabels {
  readonly version: string;
  /** Null when unknown. */
  readonly name: string | null;
  readonly arch: string | null;
  /** True for an image of a system slot. */
  readonly isImage: boolean;
}

/** @throws DroverError USAGE */
export function assertDeltaBases(labels: BundleLabels, bases: readonly BaseLabels[]): void {
  const no = (why: string): DroverError =>
    new DroverError('USAGE', `build ${labels.version}: --delta-from: ${why}`);
  if (bases.length > LIMITS.deltasMax) {
    throw no(`too many bases (got ${bases.length}, want at most ${LIMITS.deltasMax})`);
  }
  const seen = new Set<string>();
  const kindOf = (isImage: boolean): string => (isImage ? 'a system image' : 'a folder');
  for (const { version, name, arch, isImage } of bases) {
    if (isImage !== (labels.image !== undefined)) {
      throw no(`${version} is ${kindOf(isImage)}, and what is built is ${kindOf(!isImage)}`);
    }
    if (seen.has(version)) throw no(`${version} is given twice`);
    seen.add(version);
    if (name !== null && name !== labels.name) {
      throw no(`${version} is another component (got ${name}, want ${labels.name})`);
    }
    if (arch !== null && !archFits(arch, labels.arch) && !archFits(labels.arch, arch)) {
      throw no(`${version} is for another arch (got ${arch}, want ${labels.arch})`);
    }
    if (compareVersions(version, labels.version) >= 0) {
      throw no(`a base is older than what is built (got ${version})`);
    }
    if (compareVersions(version, labels.minCurrent) < 0) {
      throw no(`no robot on ${version} may take it (--min-current is ${labels.minCurrent})`);
    }
  }
}
