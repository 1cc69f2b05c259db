/** A root remembers the component that it belongs to. */

import assert from 'node:assert/strict';
import { readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { otherComponent } from '../../../robot-client/install/root-name.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { Bench, fleet } from '../bench.ts';
import { faultyDisk } from '../faulty-disk.ts';

describe('the name of a root', () => {
  it('is refused exactly when the root has another one', () => {
    const names = fc.constantFrom('app', 'nav', 'arm');
    fc.assert(
      fc.property(names, fc.option(names), (name, found) => {
        const refused = otherComponent('/r', name, found);
        assert.equal(refused !== null, found !== null && found !== name);
        if (refused) assert.match(refused.message, new RegExp(`as ${name}: .* root of ${found}`));
      }),
    );
  });

  it('is noted in a root that has none, and under another name the root is left alone', async (t) => {
    const bench = await Bench.open(t, { healthIntervalMs: 20 });
    const path = join(bench.root, 'state/component');
    assert.equal(await readFile(path, 'utf8'), 'app\n');
    await writeFile(path, 'nav\n');
    await bench.cutPower();
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await bench.component.refresh();
    const { live, version } = bench.component.view;
    assert.equal(live.refusal?.problem.code, 'ROOT_OTHER_COMPONENT');
    assert.equal(version, null);
    assert.equal(await readlink(join(bench.root, 'active')), 'releases/1.0.0');
    await rm(path); // a person renames it on purpose
    await bench.cutPower();
    await bench.runs('1.1.0');
    assert.equal(await readFile(path, 'utf8'), 'app\n');
  });

  it('does not keep a robot from its work when the disk cannot read or write it', async (t) => {
    const gate = ({ path }: { path: string }): void => {
      if (path.includes('/state/component')) throw new DroverError('DISK_WRITE_FAILED', 'EIO');
    };
    const bench = await Bench.open(t, { disk: faultyDisk(gate), healthIntervalMs: 20 });
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await bench.runs('1.1.0');
  });
});
