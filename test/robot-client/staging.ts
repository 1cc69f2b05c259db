/** A robot's staging folder on the real disk, for the tests of stage. */

import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Disk } from '../../robot-client/install/disk-port.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import { stageArchive } from '../../robot-client/update/stage.ts';
import { LIMITS } from '../../shared/base/limits.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'drover-stage-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));
const newFolder = () => fs.mkdtempSync(join(root, 'f'));
/** Longer than a name in a ustar header may be. */
export const LONG_FOLDER = 'long-folder-name-'.repeat(9);

/** A folder with a payload in it, and a canary beside where the tree will stand. */
export function place(payload: Uint8Array) {
  const folder = newFolder();
  const payloadPath = join(folder, 'payload.tar.gz');
  fs.writeFileSync(payloadPath, payload);
  fs.writeFileSync(join(folder, 'canary'), 'sings');
  return { folder, payloadPath, intoFolder: join(folder, 'tree'), packedBytes: payload.byteLength };
}

export async function stageIn(payload: Uint8Array, disk: Disk = realDisk) {
  const at = place(payload);
  const staged = await stageArchive({ disk, ...at });
  return { ...at, ...staged };
}

/** Every path below a folder with what it is, for comparison; links are not followed. */
export function picture(folder: string, below = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of fs.readdirSync(join(folder, below)).sort()) {
    const path = join(below, name);
    const full = join(folder, path);
    const stat = fs.lstatSync(full);
    const mode = (stat.mode & 0o7777).toString(8);
    if (stat.isSymbolicLink()) found[path] = `link ${fs.readlinkSync(full)}`;
    else if (stat.isDirectory()) {
      found[path] = `folder ${mode}`;
      Object.assign(found, picture(folder, path));
    } else {
      const digest = createHash('sha256').update(fs.readFileSync(full)).digest('hex');
      found[path] = `file ${mode} ${digest}`;
    }
  }
  return found;
}

/** An application tree with all that a real one holds. */
export function makeApp(): string {
  const app = newFolder();
  fs.mkdirSync(join(app, 'bin/tools'), { recursive: true });
  fs.mkdirSync(join(app, 'empty folder'));
  fs.writeFileSync(join(app, 'bin/run'), '#!/bin/sh\n', { mode: 0o755 });
  fs.writeFileSync(join(app, 'private'), 'secret', { mode: 0o600 });
  fs.writeFileSync(join(app, 'größe ☃.txt'), 'utf-8 name');
  fs.writeFileSync(join(app, 'empty'), '');
  fs.writeFileSync(join(app, 'big'), randomBytes(3 * LIMITS.stageReadBytes + 17));
  fs.mkdirSync(join(app, LONG_FOLDER));
  fs.writeFileSync(join(app, LONG_FOLDER, 'long-file-name-'.repeat(9)), 'deep');
  fs.linkSync(join(app, 'bin/run'), join(app, 'bin/tools/same'));
  fs.symlinkSync('../run', join(app, 'bin/tools/link'));
  fs.symlinkSync('nowhere', join(app, 'dangling'));
  fs.chmodSync(join(app, 'bin/tools'), 0o750);
  return app;
}
