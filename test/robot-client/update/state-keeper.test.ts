/** A state that the disk refuses is reported until the disk has it. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { reportComponent } from '../../../robot-client/fleet/report.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { StateKeeper } from '../../../robot-client/update/state-keeper.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { prepareLayout } from '../../../robot-client/install/make-root.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';
import { faultyDisk, isChange, type DiskOperation } from '../faulty-disk.ts';

const isOfState = ({ path }: DiskOperation): boolean => path.includes('/state/machine.json');

async function phaseOnDisk(root: string): Promise<unknown> {
  const state: unknown = JSON.parse(await readFile(join(root, 'state/machine.json'), 'utf8'));
  return (state as { phase: unknown }).phase;
}

/** An update that ends well while the disk refuses what the machine wants to remember of it. */
async function endsUnkept(t: TestContext, code: ErrorCode): Promise<Bench> {
  const bench = await Bench.open(t, { healthIntervalMs: 20 });
  await bench.hook('health', 'exit 0');
  bench.onPhase = (phase) => {
    if (phase !== 'probation') return;
    bench.gate = (operation) => {
      if (isChange(operation) && isOfState(operation)) throw new DroverError(code, 'refused');
    };
  };
  bench.announce(await fleet.makeBundle({ version: '1.1.0' }), '1.1.0');
  await bench.runs('1.1.0');
  return bench;
}

const codeOf = ({ component }: Bench): string | undefined =>
  reportComponent(component.view).last_error?.code;

describe('a state that could not be kept', () => {
  for (const code of ['DISK_READ_ONLY', 'DISK_FULL', 'DISK_WRITE_FAILED'] as const) {
    it(`is reported with ${code} until it was kept, although the update ended well`, async (t) => {
      const bench = await endsUnkept(t, code);
      assert.equal(codeOf(bench), code);
      assert.ok(bench.codes.includes(code), bench.codes.join(' '));
      assert.equal(await phaseOnDisk(bench.root), 'probation');
      await bench.component.refresh();
      assert.equal(codeOf(bench), code, 'the disk refuses still');
      bench.gate = () => {};
      await waitUntil('the state to be kept', async () => {
        await bench.component.refresh();
        return codeOf(bench) === undefined;
      });
      assert.equal(await phaseOnDisk(bench.root), 'idle');
    });
  }

  it('is not forgotten by what the machine does next: the newest is written', async (t) => {
    const bench = await endsUnkept(t, 'DISK_READ_ONLY');
    bench.announce(await fleet.makeBundle({ version: '1.2.0' }), '1.2.0');
    await waitUntil('the next update to be given up', () => bench.phases.at(-1) === 'idle');
    assert.equal(codeOf(bench), 'DISK_READ_ONLY');
    await bench.heal();
    await bench.component.refresh();
    const text = await readFile(join(bench.root, 'state/machine.json'), 'utf8');
    assert.equal(text, `${JSON.stringify(bench.component.view.state)}\n`);
  });

  it('counts as kept exactly when the disk took the last one, whatever was refused before', async (t) => {
    const layout = layoutOf(await tempFolder(t));
    await prepareLayout(realDisk, layout);
    let version = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }), async (turns) => {
        let refuses = false;
        const disk = faultyDisk((operation) => {
          if (refuses && isOfState(operation)) throw new DroverError('DISK_FULL', 'refused');
        });
        const log = makeLog('keeper', 'silent');
        const keeper = new StateKeeper({ disk, layout, log, now: () => 7 }, () => {});
        for (const turn of turns) {
          refuses = turn;
          version += 1;
          const state = { ...freshState(), highest: `1.${version}.0` };
          const problem = await keeper.keep(state);
          assert.equal(problem !== null, refuses);
          assert.equal(keeper.unkept?.problem.code ?? null, refuses ? 'DISK_FULL' : null);
          const kept = await realDisk.readFile(layout.machineFile, 10_000);
          const isOnDisk = new TextDecoder()
            .decode(kept ?? new Uint8Array())
            .includes(`1.${version}.0`);
          assert.equal(isOnDisk, !refuses);
        }
        keeper.close();
      }),
      { numRuns: 20 },
    );
  });
});
