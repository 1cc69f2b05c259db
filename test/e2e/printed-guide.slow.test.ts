/** The commands of docs/guide.md as they are printed, from the folder that the README leaves. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { folderAfterReadme, runPrinted } from '../helpers/printed-stage.ts';

test('the commands of the guide run as printed, one section after the other', async (t) => {
  const done = await runPrinted(t, 'docs/guide.md', {
    from: await folderAfterReadme(t),
    after: ['', '', 'sh guide-robot/active/bin/run', '', '', '', '', '', 'kill %1; wait'],
  });
  if (!done) return;
  const { stdout } = done.child;
  assert.match(stdout, /^delta .*from 1\.0\.0/m);
  assert.match(stdout, /^hello from 1\.1\.0$/m);
  assert.match(stdout, /"version": "1\.1\.0",\s+"robots": 1/);
  assert.match(stdout, /^ok: logged as entry 0 of .*, as policy\.txt wants$/m);
});
