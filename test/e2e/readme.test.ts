/** The commands of the README as they are printed, in their order, in a fresh folder. */

import assert from 'node:assert/strict';
import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runPrinted } from '../helpers/printed-stage.ts';

test('the commands of the README run as printed, and leave no process behind', async (t) => {
  const done = await runPrinted(t, 'README.md', { after: ['', 'wait'] });
  if (!done) return;
  const { stdout } = done.child;
  assert.match(stdout, /hello from 1\.0\.0/);
  assert.match(stdout, /app: runs 1\.0\.0/);
  assert.equal(await readlink(join(done.folder, 'robot/active')), 'releases/1.0.0');
});
