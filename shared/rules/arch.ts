/**
 * CPU names. Debian, Node and `uname -m` disagree; manifests may use any, robots compare these.
 * Sans-I/O.
 */

const CANONICAL: ReadonlyMap<string, string> = new Map([
  ['arm64', 'aarch64'],
  ['amd64', 'x86_64'],
  ['x64', 'x86_64'],
  ['x86-64', 'x86_64'],
  ['arm', 'armv7l'],
  ['armhf', 'armv7l'],
]);

/** `any` in a manifest: the payload holds nothing that depends on the CPU. */
export const ARCH_ANY = 'any';

/** [P-3.7] */
export function canonicalArch(name: string): string {
  return CANONICAL.get(name) ?? name;
}

export function archFits(target: string, robot: string): boolean {
  return target === ARCH_ANY || canonicalArch(target) === canonicalArch(robot);
}
