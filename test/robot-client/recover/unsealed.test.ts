/**
 * A release that lost its seal is compared with its recipe: damage is reported, and never sealed.
 */

import assert from 'node:assert/strict';
import { chmod, readdir, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import type { Disk, PathStat } from '../../../robot-client/install/disk-port.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { pruneReleases } from '../../../robot-client/install/prune.ts';
import { wrongByRecipe } from '../../../robot-client/install/recipe-check.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { checkRelease } from '../../../robot-client/install/seal-check.ts';
import { chooseSpare } from '../../../robot-client/install/prune-plan.ts';
import { tarGz } from '../../helpers/fleet.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

async function bundleOf(version: string) {
  const files = {
    'VERSION.txt': `${version}\n`,
    'log.txt': 'begins\n',
    'bin/app': { text: '#!/bin/sh\n', mode: 0o755 },
    'mod/__pycache__/a.cpython-311.pyc': 'byte code',
  };
  return await fleet.makeBundle({ version, payload: await tarGz(files) });
}

/** 1.0.0 in `rollback`, 1.1.0 in `active`, without the seal of 1.1.0. */
async function unsealed(t: TestContext) {
  const bench = await Bench.open(t);
  for (const version of ['1.0.0', '1.1.0']) {
    bench.announce(await bundleOf(version), version);
    await bench.runs(version);
  }
  const layout = layoutOf(bench.root);
  const seal = join(layout.seals, '1.1.0');
  await waitUntil('the seal', async () => (await readdir(layout.seals)).includes('1.1.0'));
  await rm(seal);
  const tree = join(layout.releases, '1.1.0');
  const look = () =>
    checkRelease(realDisk, layout, {
      ...{ version: '1.1.0', tree, mayHash: () => true, known: new Set<string>() },
    });
  return { bench, layout, seal, tree, look };
}

const harms = {
  'a file is gone': (tree: string) => unlink(join(tree, 'VERSION.txt')),
  'a program was cut short': (tree: string) => truncate(join(tree, 'bin/app'), 2),
  'a program lost its mode': (tree: string) => chmod(join(tree, 'bin/app'), 0o644),
};

describe('a release whose seal was lost', () => {
  for (const [what, harm] of Object.entries(harms)) {
    it(`is reported and not sealed when ${what}, and the whole release stays`, async (t) => {
      const { bench, layout, seal, tree, look } = await unsealed(t);
      await harm(tree);
      await writeFile(seal, '{}');
      assert.equal((await look()).kind, 'damaged');
      await bench.cutPower();
      const { damage } = bench.component.view;
      await waitUntil('the damage', () => bench.component.view.damage?.code === 'RELEASE_DAMAGED', {
        look: () => JSON.stringify(damage),
      });
      assert.equal(await realDisk.readFile(seal, 10).then(String), '123,125', 'it is no seal');
      await rm(layout.rollback);
      await pruneReleases(realDisk, layout, null);
      assert.ok((await readdir(layout.releases)).includes('1.0.0'), 'the last whole one');
    });
  }

  it('leads back at a boot when it is damaged', async (t) => {
    const { bench, tree } = await unsealed(t);
    await bench.component.close();
    await harms['a file is gone'](tree);
    const { version } = await recoverComponent({
      ...{ component: 'app', root: bench.root, disk: realDisk, hooksFolder: '/none' },
      ...{ bootsMax: 3, adoptVersion: '0.0.0' },
    });
    assert.equal(version, '1.0.0');
  });

  it('leads back at a boot when the disk can read neither its seal nor one of its files', async (t) => {
    const { bench, layout, tree } = await unsealed(t);
    await bench.component.close();
    await rm(join(layout.state, 'clean'), { force: true });
    const fail = (path: string): void => {
      if (path === join(layout.seals, '1.1.0') || path === join(tree, 'log.txt'))
        throw new DroverError('DISK_WRITE_FAILED', `read ${path}: EIO`);
    };
    await writeFile(join(layout.seals, '1.1.0'), 'of no use');
    const open: Disk['open'] = (path, use, mode) => {
      fail(path);
      return realDisk.open(path, use, mode);
    };
    const on = { component: 'app', root: bench.root, hooksFolder: '/none' };
    const rest = { bootsMax: 3, adoptVersion: '0.0.0', disk: { ...realDisk, open } };
    const { version, actions } = await recoverComponent({ ...on, ...rest });
    assert.equal(version, '1.0.0', actions.join('\n'));
    assert.match(actions.join('\n'), /log\.txt/);
  });

  it('is taken as whole by its recipe when only its seal cannot be read, which is said', async (t) => {
    const { bench, layout } = await unsealed(t);
    await bench.component.close();
    const seal = join(layout.seals, '1.1.0');
    await writeFile(seal, 'of no use');
    const open: Disk['open'] = (path, use, mode) => {
      if (path === seal) throw new DroverError('DISK_WRITE_FAILED', `read ${path}: EIO`);
      return realDisk.open(path, use, mode);
    };
    const on = { component: 'app', root: bench.root, hooksFolder: '/none' };
    const rest = { bootsMax: 3, adoptVersion: '0.0.0', disk: { ...realDisk, open } };
    const { version, actions } = await recoverComponent({ ...on, ...rest });
    assert.equal(version, '1.1.0');
    assert.match(actions.join('\n'), /seals.*EIO/);
  });

  it('is sealed when it is whole, whatever Python and the application wrote', async (t) => {
    const { bench, seal, tree, look } = await unsealed(t);
    await truncate(join(tree, 'mod/__pycache__/a.cpython-311.pyc'), 0);
    await writeFile(join(tree, 'log.txt'), 'begins\nand goes on\n');
    const found = await look();
    assert.ok(found.kind === 'whole' && found.isByRecipe);
    await bench.cutPower();
    await waitUntil('the seal', async () => (await realDisk.kind(seal)) === 'file');
    assert.equal(bench.component.view.damage, null);
  });
});

describe('a release with its seal', () => {
  it('is reported at the next start when it lost a file or a right, and not when the file is back', async (t) => {
    const { bench, layout, tree } = await unsealed(t);
    await bench.cutPower();
    await waitUntil('the seal', async () => (await readdir(layout.seals)).includes('1.1.0'));
    const damaged = (code: string | null) =>
      waitUntil(`the damage to be ${code}`, () => {
        const { damage } = bench.component.view;
        return (damage?.code ?? null) === code;
      });
    const program = join(tree, 'bin/app');
    await chmod(program, 0o644);
    await bench.cutPower();
    await damaged('RELEASE_DAMAGED');
    await chmod(program, 0o755);
    await bench.cutPower();
    await damaged(null);
    await writeFile(join(tree, 'log.txt'), 'begins\nand goes on\n');
    await rm(join(tree, 'VERSION.txt'));
    await bench.cutPower();
    await damaged('RELEASE_DAMAGED');
    await writeFile(join(tree, 'VERSION.txt'), 'other bytes');
    await bench.cutPower();
    await damaged(null);
  });
});

const kinds = fc.constantFrom('absent', 'unknown', 'damaged', 'whole');
const versions = fc.uniqueArray(fc.constantFrom<string>('1.0.0', '1.1.0', '1.2.0', '2.0.0'));

describe('the release that is kept beside the slots', () => {
  it('is there whenever nothing in the slots is known to be whole, and one beside them is', () => {
    fc.assert(
      fc.property(kinds, kinds, versions, versions, (active, rollback, whole, failed) => {
        const spare = chooseSpare({ active, rollback, whole, failed });
        if (spare !== null) assert.ok(whole.includes(spare));
        const isNeeded = active !== 'whole' && rollback !== 'whole' && whole.length > 0;
        if (isNeeded) assert.notEqual(spare, null);
        if (rollback === 'whole') assert.equal(spare, null);
      }),
    );
  });
});

describe('a file by its recipe', () => {
  const found = fc.record<PathStat>({
    kind: fc.constantFrom('file', 'folder', 'link', 'absent'),
    bytes: fc.nat(20),
    mode: fc.nat(0o777),
  });

  it('is never right when it is gone, empty, shorter, or may not be read any more', () => {
    fc.assert(
      fc.property(found, fc.integer({ min: 1, max: 20 }), fc.nat(0o777), (file, bytes, mode) => {
        const why = wrongByRecipe({ path: 'a', bytes, mode }, file, { isOnlyLost: false });
        const isLess = file.kind !== 'file' || file.bytes < bytes;
        if (isLess || (mode & ~file.mode & 0o555) !== 0) assert.notEqual(why, null);
        const asItWas = { kind: 'file', bytes, mode } as const;
        assert.equal(
          wrongByRecipe({ path: 'a', bytes, mode }, asItWas, { isOnlyLost: false }),
          null,
        );
        assert.equal(
          wrongByRecipe({ path: 'a.pyc', bytes, mode }, file, { isOnlyLost: false }),
          null,
        );
      }),
    );
  });
});
