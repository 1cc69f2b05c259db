/** Writes an image in a process of its own, and prints how much memory that took at most. */

import { readFileSync } from 'node:fs';
import { imageOfPayload, writeImage } from '../../../robot-client/boot/slot-writer.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { B } from './boot-loaders.ts';

const [devicePath = '', payloadPath = '', size = '', sha256 = ''] = process.argv.slice(2);
const image = { size: Number(size), sha256: sha256 as Sha256Hex };
await writeImage({
  ...{ devicePath, image, source: imageOfPayload({ disk: realDisk, payloadPath, image }) },
  slots: { other: B, spoil: () => Promise.resolve() },
});
// Not resourceUsage(): that of a child begins with the size of its parent.
const [, kilobytes = ''] =
  /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
process.stdout.write(`${kilobytes}\n`);
