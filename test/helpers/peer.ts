/**
 * Programs of others that a test runs against. A missing one skips the test on a developer's
 * machine and fails it where CI=true: there it means that nobody is testing any more.
 */

import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';

/** Debian keeps servers out of the path of ordinary users. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin`;

export function findPeer(command: string): string | null {
  const found = spawnSync('sh', ['-c', `command -v ${command}`], { env: { PATH } });
  return found.status === 0 ? found.stdout.toString().trim() : null;
}

/**
 * @returns the path of the program; null when the test was skipped and should return
 * @throws Error when the program is missing and CI=true
 */
export function requirePeer(t: TestContext, command: string): string | null {
  const found = findPeer(command);
  if (found !== null) return found;
  const why = `${command} is not installed: bash test/install-peers.sh`;
  if (process.env['CI'] === 'true') throw new Error(why);
  t.skip(why);
  return null;
}

/** Debian's python3-cryptography belongs to its own python, whatever else is first in the path. */
const PYTHONS = ['/usr/bin/python3', 'python3'];

/** A Python with the `cryptography` package; null when it is missing and the test was skipped. */
export function requirePython(t: TestContext): string | null {
  const found = PYTHONS.find(
    (python) => spawnSync(python, ['-c', 'import cryptography']).status === 0,
  );
  if (found !== undefined) return found;
  const why = 'python3-cryptography is not installed: bash test/install-peers.sh';
  if (process.env['CI'] === 'true') throw new Error(why);
  t.skip(why);
  return null;
}
