/**
 * A `--root` that does not exist, or that contains another root, is refused, and nothing is
 * created.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startDrover, type Child } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { canMount, mounts, remount } from './mounted-roots.ts';

async function run(t: TestContext, ...args: string[]): Promise<Child> {
  const child = startDrover(t, 'robot-client', args);
  await child.exit;
  return child;
}

describe('a root that is not there', () => {
  it('is refused by each command with its code, and made by none', async (t) => {
    const root = join(await tempFolder(t), 'opt', 'robto');
    const ways = [
      ['status', 3],
      ['explain', 3],
      ['adopt', 3],
      ['recover', 0], // the application starts, as before the first start of an agent
    ] as const;
    for (const [command, code] of ways) {
      const child = await run(t, command, '--root', root);
      assert.equal(child.ended?.code, code, child.describe());
      assert.match(child.stdout + child.stderr, /ROOT_ABSENT/, child.describe());
      assert.ok(!existsSync(root), command);
    }
  });
});

describe('a root that another one lies in', () => {
  it('is refused also when a bind mount hides it', async (t) => {
    if (!canMount(t)) return;
    const mounted = mounts(t);
    const folder = await tempFolder(t);
    const [app, nav] = [join(folder, 'app'), join(folder, 'nav')];
    await mkdir(join(app, 'sub'), { recursive: true });
    await mounted.bind(join(app, 'sub'), nav);
    const child = await run(t, 'recover', '--root', app, '--root', `nav=${nav}`);
    assert.equal(child.ended?.code, 2, child.describe());
    assert.match(child.stderr, /ROOTS_OVERLAP/);
  });
});

describe('a trial of adopt', () => {
  it('does not promise what a read-only disk would refuse, and names the option for the version', async (t) => {
    if (!canMount(t)) return;
    const mounted = mounts(t);
    const root = join(await tempFolder(t), 'root');
    await mounted.tmpfs(root, 'size=8m');
    await mkdir(join(root, 'active'));
    const could = await run(t, 'adopt', '--dry-run', '--root', root);
    assert.equal(could.ended?.code, 0, could.describe());
    assert.match(could.stdout, /--adopt-version/);
    remount(root, 'ro');
    const cannot = await run(t, 'adopt', '--dry-run', '--root', root);
    assert.equal(cannot.ended?.code, 3, cannot.describe());
    assert.match(cannot.stderr, /DISK_READ_ONLY/);
  });
});
