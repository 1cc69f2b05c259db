/**
 * Finds where a folder lies on its file system, whatever path it was given by: a bind mount shows
 * one folder under two paths. Sans-I/O.
 */

/** Mounts that this process sees: proc_pid_mountinfo(5). */
export const MOUNTS_FILE = '/proc/self/mountinfo';

export interface MountedPlace {
  /** Device of the file system, `major:minor`. */
  readonly device: string;
  /** Path from the root of that file system, without a slash at the end; empty for the root. */
  readonly path: string;
}

/**
 * @param real absolute path without links
 * @param mounts text of `/proc/self/mountinfo` (proc_pid_mountinfo(5))
 * @returns null when no mount of the text holds the path
 */
export function mountedPlace(real: string, mounts: string): MountedPlace | null {
  let best: { device: string; root: string; point: string } | null = null;
  for (const line of mounts.split('\n')) {
    const [, , device, root, point] = line.split(' ').map(unescapeOctal);
    if (device === undefined || root === undefined || point === undefined) continue;
    // Of two mounts at one point the later one covers the other.
    if (isAt(real, point) && point.length >= (best?.point.length ?? 0)) {
      best = { device, root, point };
    }
  }
  if (!best) return null;
  const rest = real.slice(best.point === '/' ? 0 : best.point.length);
  return { device: best.device, path: withoutSlash(withoutSlash(best.root) + rest) };
}

/**
 * Points where something is mounted in a folder, or on it.
 * @param real absolute path without links
 * @param mounts text of `/proc/self/mountinfo`
 */
export function mountPointsIn(real: string, mounts: string): string[] {
  const points = mounts.split('\n').map((line) => unescapeOctal(line.split(' ')[4] ?? ''));
  return points.filter((point) => point !== '' && isAt(point, real));
}

export interface WritableMount {
  readonly point: string;
  /** Device of the file system, `major:minor`. */
  readonly device: string;
  /** As it was mounted: mostly the path of a device. */
  readonly source: string;
}

/**
 * File systems that the kernel may write to. A mount point can be read-only while its file system
 * is not, so the options of the file system count.
 * @param mounts text of `/proc/self/mountinfo`
 */
export function writableMounts(mounts: string): WritableMount[] {
  return mounts.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , device, , point] = before.split(' ').map(unescapeOctal);
    const [, source, options = ''] = after.split(' ').map(unescapeOctal);
    if (device === undefined || point === undefined || source === undefined) return [];
    return options.split(',').includes('rw') ? [{ point, device, source }] : [];
  });
}

/** True when one of two folders is the other, or lies in it. */
export function overlaps(one: MountedPlace, other: MountedPlace): boolean {
  if (one.device !== other.device) return false;
  return isAt(one.path, other.path) || isAt(other.path, one.path);
}

const isAt = (path: string, above: string): boolean =>
  above === '/' || above === '' || path === above || path.startsWith(`${above}/`);

const withoutSlash = (path: string): string => (path.endsWith('/') ? path.slice(0, -1) : path);

/** Blanks in a path are written as `\040`. */
const unescapeOctal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
