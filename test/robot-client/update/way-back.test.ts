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
