/** Hooks of a robot on which one version cannot start: a real script in a real folder. */

import { chmod, writeFile } from 'node:fs/promises';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

export async function sickHooks(scope: Scope, version: string | undefined): Promise<string> {
  const folder = await tempFolder(scope);
  const script = `#!/bin/sh\nexec [ "$DROVER_VERSION" != "${version ?? 'none'}" ]\n`;
  await writeFile(`${folder}/start`, script);
  await chmod(`${folder}/start`, 0o755);
  return folder;
}
