import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import {
  newRestarts,
  parseRestarts,
  HealthWatch,
} from '../../../robot-client/fleet/health-watch.ts';
import type { Counts } from '../../../robot-client/fleet/usage.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

describe('restarts as a hook prints them', () => {
  it('are the last line of that form, and nothing else', () => {
    assert.equal(parseRestarts('unit is active\nrestarts=3\n'), 3);
    assert.equal(parseRestarts('restarts=3\nrestarts=4'), 4);
    for (const text of ['', 'restarts=', 'restarts=-1', 'xrestarts=1', 'restarts=12345678901']) {
      assert.equal(parseRestarts(text), null, text);
    }
  });

  it('count by their rises, from the first reading on, over a counter that begins again', () => {
    assert.equal(newRestarts(null, 7), 0);
    assert.equal(newRestarts(7, 9), 2);
    assert.equal(newRestarts(9, 9), 0);
    assert.equal(newRestarts(9, 1), 1);
  });
});

async function makeWatch(t: TestContext, script: string, version: string | null = '1.0.0') {
  const folder = join(await tempFolder(t), 'hooks');
  await mkdir(folder);
  const write = async (text: string): Promise<void> => {
    await writeFile(join(folder, 'health'), `#!/bin/sh\n${text}\n`);
    await chmod(join(folder, 'health'), 0o755);
  };
  await write(script);
  const counted: Counts[] = [];
  const watch = new HealthWatch({
    hooksFolder: folder,
    hookTimeoutMs: 20_000,
    everyMs: 0,
    log: makeLog('test', 'silent'),
    watched: () => [{ component: 'app', version, env: { DROVER_VERSION: version ?? '' } }],
    count: (_component, counts) => counted.push(counts),
  });
  t.after(() => watch.close());
  return { watch, write, folder, counted };
}

describe('the watch over what runs', () => {
  it('counts restarts and failures of the hook', async (t) => {
    const { watch, write, counted } = await makeWatch(t, 'echo restarts=1');
    await watch.probe();
    await write('echo restarts=3');
    await watch.probe();
    await write('exit 70');
    await watch.probe();
    assert.deepEqual(counted, [
      { restarts: 0, health_failures: 0 },
      { restarts: 2, health_failures: 0 },
      { restarts: 0, health_failures: 1 },
    ]);
  });

  it('counts no failure of a hook that it may not run: the version is not to blame', async (t) => {
    const { watch, folder, counted } = await makeWatch(t, 'exit 0');
    await chmod(folder, 0o777);
    await watch.probe();
    assert.deepEqual(counted, []);
  });

  it('leaves an update alone, and looks at nothing where nothing is installed', async (t) => {
    const { watch, counted } = await makeWatch(t, 'exit 70', null);
    await watch.probe();
    assert.deepEqual(counted, []);
  });

  it('steps aside in the middle of a look', async (t) => {
    const { watch, counted } = await makeWatch(t, 'sleep 15');
    const look = watch.probe();
    setTimeout(() => watch.stepAside(), 100);
    await assert.rejects(look, /the hooks are needed/);
    assert.deepEqual(counted, []);
  });
});
