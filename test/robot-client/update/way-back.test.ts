import assert from 'node:assert/strict';
import { copyFile, readFile, truncate, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { tarGz } from '../../helpers/fleet.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

async function bundleOf(version: string) {
  const files = { 'VERSION.txt': `${version}\n`, 'bin/app': { text: '#!/bin/sh\n', mode: 0o755 } };
  return await fleet.makeBundle({ version, payload: await tarGz(files) });
}

const losses = {
  'is gone': (path: string) => unlink(path),
  'is empty': (path: string) => truncate(path, 0),
};

describe('a rollback to a release of which a file', () => {
  for (const [what, lose] of Object.entries(losses)) {
    it(`${what}: the whole version runs on, it is told, and the way back works once mended`, async (t) => {
      const bench = await Bench.open(t);
      bench.announce(await bundleOf('1.1.0'), '1.1.0');
      await bench.runs('1.1.0');
      const app = join(bench.root, 'releases/1.1.0/bin/app');
      const copy = join(bench.root, 'app.copy');
      await copyFile(app, copy);
      await bench.hook('health', 'if [ "$DROVER_VERSION" = 1.2.0 ]; then exit 70; fi');
      let isLost = false;
      bench.gate = async ({ name, path }) => {
        // The disk loses it after the swap, before anything asks for the way back.
        if (isLost || name !== 'rename' || !path.endsWith('/active')) return;
        isLost = true;
        await lose(app);
      };
      bench.announce(await bundleOf('1.2.0'), '1.2.0', { health_timeout_s: 1 });
      await waitUntil('stuck', () => bench.component.view.state.phase === 'stuck', {
        look: () => bench.describe(),
        timeoutMs: 30_000,
      });
      assert.ok(bench.codes.includes('RELEASE_DAMAGED'), bench.describe());
      const active = join(bench.root, 'active/VERSION.txt');
      assert.equal(await readFile(active, 'utf8'), '1.2.0\n');

      await copyFile(copy, app);
      await bench.heal();
      assert.equal(await bench.component.retry(), true);
      await bench.runs('1.1.0');
    });
  }

  it('is gone when the rollout is recalled: the healthy version runs on until it is mended', async (t) => {
    const bench = await Bench.open(t);
    bench.announce(await bundleOf('1.1.0'), '1.1.0');
    await bench.runs('1.1.0');
    bench.announce(await bundleOf('1.2.0'), '1.2.0');
    await bench.runs('1.2.0');
    await bench.hook('stop', 'echo "$DROVER_VERSION" >> "$DROVER_ROOT/stopped"');
    const app = join(bench.root, 'releases/1.1.0/bin/app');
    const copy = join(bench.root, 'app.copy');
    await copyFile(app, copy);
    await unlink(app);
    bench.recall('1.2.0');
    const isStuck = (): boolean => bench.component.view.state.phase === 'stuck';
    await waitUntil('stuck', isStuck, { look: () => bench.describe(), timeoutMs: 30_000 });
    assert.equal(bench.component.view.version, '1.2.0');
    assert.ok(bench.codes.includes('RELEASE_DAMAGED'), bench.describe());
    const { job } = bench.component.view.state;
    assert.equal(job?.cause?.code, 'ROLLOUT_RECALLED', 'what is to be undone is known still');
    await assert.rejects(readFile(join(bench.root, 'stopped')), { code: 'ENOENT' });
    bench.recall('1.2.0'); // told again, as a controller does: nothing begins from the start
    await bench.cutPower();
    assert.ok(isStuck(), bench.describe());

    await copyFile(copy, app);
    assert.equal(await bench.component.retry(), true);
    await bench.runs('1.1.0');
    const { blocked } = bench.component.view.state;
    assert.deepEqual(
      blocked.map(({ version, code }) => [version, code]),
      [['1.2.0', 'ROLLOUT_RECALLED']],
    );
  });

  it('was written by the application goes back as ever', async (t) => {
    const bench = await Bench.open(t);
    bench.announce(await bundleOf('1.1.0'), '1.1.0');
    await bench.runs('1.1.0');
    await truncate(join(bench.root, 'releases/1.1.0/bin/app'), 4);
    await bench.hook('health', 'if [ "$DROVER_VERSION" = 1.2.0 ]; then exit 70; fi');
    bench.announce(await bundleOf('1.2.0'), '1.2.0', { health_timeout_s: 1 });
    await waitUntil('the bad version', () => bench.codes.includes('HEALTH_FAILED'));
    await bench.runs('1.1.0');
  });
});
