/** Puts the demo's application together: two releases around the installed `three` package, the
 * hooks of a robot, and the folder it all happens in. */

import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Repository root, from dist/examples/demo/. */
export const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const SOURCES = join(REPOSITORY, 'examples/demo');

/** An application tree of more than 20 MB that runs. */
export async function makeApplication(
  folder: string,
  release: { version: string; needsCalibration: number },
): Promise<void> {
  // The package exports its entry, <package>/build/three.cjs, and not its own folder.
  const three = dirname(dirname(createRequire(import.meta.url).resolve('three')));
  await mkdir(folder, { recursive: true });
  await cp(three, join(folder, 'three'), { recursive: true });
  await cp(join(SOURCES, 'arm.mjs'), join(folder, 'arm.mjs'));
  await writeFile(join(folder, 'release.json'), JSON.stringify(release));
}

const START = `#!/bin/sh
# Starts the application in the background; a second start of the same version changes nothing.
if [ -f "$DROVER_ROOT/arm.pid" ]; then kill "$(cat "$DROVER_ROOT/arm.pid")" 2>/dev/null; fi
node "$DROVER_ACTIVE_DIR/arm.mjs" >>"$DROVER_ROOT/arm.log" 2>&1 &
echo $! > "$DROVER_ROOT/arm.pid"
`;
const STOP = `#!/bin/sh
if [ -f "$DROVER_ROOT/arm.pid" ]; then kill "$(cat "$DROVER_ROOT/arm.pid")" 2>/dev/null; fi
rm -f "$DROVER_ROOT/arm.pid"
exit 0
`;

export async function makeHooks(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const health = `#!/bin/sh\nexec node '${join(SOURCES, 'health.mjs')}'\n`;
  for (const [name, text] of Object.entries({ start: START, stop: STOP, health })) {
    await writeFile(join(folder, name), text);
    await chmod(join(folder, name), 0o755);
  }
}

export async function makeRobotRoot(root: string, calibration: number): Promise<void> {
  await mkdir(root, { recursive: true });
  await writeFile(join(root, 'calibration.json'), JSON.stringify({ generation: calibration }));
}
