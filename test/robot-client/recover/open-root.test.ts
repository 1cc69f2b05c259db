/** A root that lacks folders which the disk refuses to make is reported, and opened later. */

import assert from 'node:assert/strict';
import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DroverError } from '../../../shared/base/errors.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { Bench, fleet } from '../bench.ts';
import { isChange } from '../faulty-disk.ts';

describe('the root of a component', () => {
  it('is checked between messages: a read-only disk and a link of a technician are reported', async (t) => {
    const bench = await Bench.open(t);
    bench.gate = ({ name }) => {
      if (name === 'unlink') throw new DroverError('DISK_READ_ONLY', 'remove: refused');
    };
    await bench.component.refresh();
    assert.equal(bench.component.view.live.refusal?.problem.code, 'DISK_READ_ONLY');
    await bench.heal();
    await bench.component.refresh();
    assert.equal(bench.component.view.live.refusal, null);
    await rm(join(bench.root, 'active'));
    await mkdir(join(bench.root, 'mine'));
    await symlink('mine', join(bench.root, 'active'));
    await bench.component.refresh();
    assert.ok(bench.codes.includes('SLOT_OUTSIDE'), bench.codes.join(' '));
  });

  it('is left alone until its lock is ours, and then begun with', async (t) => {
    let isFree = false;
    const claims = {
      take: async (root: string): Promise<void> => {
        if (!isFree) throw new DroverError('DISK_WRITE_FAILED', `open ${root}: EIO`);
      },
      has: () => isFree,
    };
    const bench = await Bench.open(t, { claims });
    assert.equal(bench.component.view.live.refusal?.problem.code, 'DISK_WRITE_FAILED');
    bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
    await bench.component.refresh();
    assert.equal(await realDisk.kind(join(bench.root, 'state')), 'absent');
    isFree = true;
    bench.offer();
    await bench.runs('1.1.0');
  });

  for (const [what, folder, code] of [
    ['is of an agent that made no seals, on a read-only disk', 'seals', 'DISK_READ_ONLY'],
    ['lost its state, on a full disk', 'state', 'DISK_FULL'],
  ] as const) {
    it(`is reported and opened later when it ${what}`, async (t) => {
      const bench = await Bench.open(t);
      await rm(join(bench.root, folder), { recursive: true });
      bench.gate = (operation) => {
        if (isChange(operation)) throw new DroverError(code, 'change the disk: refused');
      };
      await bench.cutPower();
      assert.equal(bench.component.view.version, '1.0.0');
      assert.equal(bench.component.view.live.refusal?.problem.code, code);
      await bench.heal();
      bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
      await bench.runs('1.1.0');
    });
  }
});
