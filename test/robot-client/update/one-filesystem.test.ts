/** A root whose folders are on several file systems is reported before anything is downloaded. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { splitProblem } from '../../../robot-client/update/assert-swappable.ts';
import { prepareLayout } from '../../../robot-client/install/make-root.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

test('a root on one file system is fit, full or not', async (t) => {
  const layout = layoutOf(join(await tempFolder(t), 'root'));
  await prepareLayout(realDisk, layout);
  assert.equal(await splitProblem({ disk: realDisk, layout }), null);
});

test('releases or bases on another disk are ROOT_SPLIT, which names the folder', async (t) => {
  const root = join(await tempFolder(t), 'root');
  const other = mkdtempSync('/dev/shm/drover-split-');
  t.after(() => rmSync(other, { recursive: true, force: true }));
  for (const name of ['releases', 'bases'] as const) {
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root, { recursive: true });
    symlinkSync(other, join(root, name));
    const layout = layoutOf(root);
    await prepareLayout(realDisk, layout);
    const problem = await splitProblem({ disk: realDisk, layout });
    assert.equal(problem?.code, 'ROOT_SPLIT');
    assert.match(problem.message, new RegExp(`${name}`));
  }
});
