/** A root that lacks folders which the disk refuses to make: told, and opened later. */

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DroverError } from '../../shared/errors.ts';
import { Bench, fleet } from './bench.ts';
import { isChange } from './faulty-disk.ts';

describe('the root of a component', () => {
  for (const [what, folder, code] of [
    ['is of an agent that made no seals, on a read-only disk', 'seals', 'DISK_READ_ONLY'],
    ['lost its state, on a full disk', 'state', 'DISK_FULL'],
  ] as const) {
    it(`is told and opened later when it ${what}`, async (t) => {
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
