/** The strategy of a release is known although one of the folders that name it is gone. */

import assert from 'node:assert/strict';
import { mkdtemp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, strategyFile, type Layout } from '../../../robot-client/install/layout.ts';
import { removeStrategy } from '../../../robot-client/install/prune.ts';
import { keepStrategy, readStrategy } from '../../../robot-client/install/strategy-file.ts';
import { ATOMIC_SWAP } from '../../../shared/formats/apply-strategy.ts';

const VERSION = '2.0.0';
const strategy = 'module/board';

async function keptRoot(test: TestContext): Promise<Layout> {
  const root = await mkdtemp(join(tmpdir(), 'drover-strategy-'));
  test.after(() => rm(root, { recursive: true, force: true }));
  const layout = layoutOf(root);
  await keepStrategy(realDisk, layout, { version: VERSION, strategy });
  return layout;
}

const read = (layout: Layout): Promise<string> => readStrategy(realDisk, layout, VERSION);

describe('the strategy of a release', () => {
  for (const lost of ['strategies', 'seals'] as const) {
    it(`is known when the folder ${lost}/ is gone`, async (test) => {
      const layout = await keptRoot(test);
      await rm(layout[lost], { recursive: true });
      assert.equal(await read(layout), strategy);
    });
  }

  const damages: Record<string, (path: string) => Promise<void>> = {
    empty: (path) => writeFile(path, ''),
    'of zeroes': (path) => writeFile(path, Buffer.alloc(12)),
    'too long': (path) => writeFile(path, 'x'.repeat(9_000)),
    'a folder': async (path) => {
      await rm(path);
      await mkdir(path);
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    it(`is that of the copy when its file is ${what}`, async (test) => {
      const layout = await keptRoot(test);
      await damage(strategyFile(layout, VERSION));
      assert.equal(await read(layout), strategy);
    });
  }

  it('is an unknown one, never the link alone, when what is left is damaged', async (test) => {
    const layout = await keptRoot(test);
    await rm(layout.seals, { recursive: true });
    await writeFile(strategyFile(layout, VERSION), 'module/../x\n');
    await assert.rejects(read(layout), { code: 'MODULE_UNKNOWN' });
    for (const damage of Object.values(damages)) {
      await damage(strategyFile(layout, VERSION));
      await assert.rejects(read(layout), { code: 'MODULE_UNKNOWN' });
    }
  });

  it('is what a person writes into its file', async (test) => {
    const layout = await keptRoot(test);
    await writeFile(strategyFile(layout, VERSION), `${ATOMIC_SWAP}\n`);
    assert.equal(await read(layout), ATOMIC_SWAP);
  });

  it('goes as a whole, with its release or for one of the same version', async (test) => {
    const layout = await keptRoot(test);
    await keepStrategy(realDisk, layout, { version: VERSION, strategy: ATOMIC_SWAP });
    assert.equal(await read(layout), ATOMIC_SWAP);
    await keepStrategy(realDisk, layout, { version: VERSION, strategy });
    await removeStrategy(realDisk, layout, VERSION);
    assert.deepEqual([await readdir(layout.seals), await readdir(layout.strategies)], [[], []]);
  });
});
