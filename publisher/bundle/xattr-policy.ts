/**
 * Decides about extended attributes: a payload carries none, so a tree that has some is refused by
 * name, and packed without them only on request. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { printable } from '../../shared/base/printable.ts';

/** One file or folder with the names of its attributes, such as `security.capability`. */
export interface Attributed {
  readonly path: string;
  readonly names: readonly string[];
}

/** Labels that a security policy puts on every file of the machine: not part of an application. */
const MACHINE =
  /^(security\.(selinux|apparmor|evm|SMACK64)|system\.(nfs4|cifs)_acl|trusted\.overlay|btrfs\.)/;
const NAMED_MAX = 10;

export const isMachineXattr = (name: string): boolean => MACHINE.test(name);

/**
 * The attribute that a PAX record of GNU tar, libarchive or star carries; null for another record.
 * @param key such as `SCHILY.xattr.user.note`
 */
export function paxXattr(key: string): string | null {
  const found = /^(?:SCHILY|LIBARCHIVE)\.xattr\.(.+)$|^SCHILY\.(acl\.\w+)$/s.exec(key);
  return found ? (found[1] ?? found[2] ?? key) : null;
}

const WORDS: Readonly<Record<string, string>> = {
  'security.capability': 'file capabilities',
  'system.posix_acl_access': 'ACL',
  'acl.access': 'ACL',
  'system.posix_acl_default': 'default ACL',
  'acl.default': 'default ACL',
};

/**
 * @param verb the refused command: `build` or `sign`
 * @throws DroverError XATTRS_REFUSED with the list, at most ten by name
 */
export function assertNoXattrs(found: readonly Attributed[], verb = 'build'): void {
  if (found.length === 0) return;
  const lines = found.slice(0, NAMED_MAX).map(({ path, names }) => {
    const words = names.map((name) => WORDS[name] ?? printable(name));
    return `"${printable(path)}" (${[...new Set(words)].join(', ')})`;
  });
  const more = found.length > NAMED_MAX ? ` and ${found.length - NAMED_MAX} more` : '';
  const message = `${verb}: a payload carries no extended attributes: ${lines.join(', ')}${more}`;
  throw new DroverError('XATTRS_REFUSED', message);
}
