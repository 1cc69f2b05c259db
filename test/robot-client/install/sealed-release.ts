/** Makes a release as an agent leaves it: complete, and with its seal. */

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { releaseFolder, type Layout } from '../../../robot-client/install/layout.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';

/**
 * A release of one program, `bin/run`.
 * @param more other files, each by its path below the release
 * @returns its folder
 */
export async function makeSealedRelease(
  layout: Layout,
  version: string,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const tree = releaseFolder(layout, version);
  await mkdir(join(tree, 'bin'), { recursive: true });
  await writeFile(join(tree, 'bin/run'), `echo ${version}\n`);
  await chmod(join(tree, 'bin/run'), 0o755); // whatever umask this process has
  for (const [path, text] of Object.entries(more)) await writeFile(join(tree, path), text);
  await writeSeal(realDisk, layout, { version, tree });
  return tree;
}
