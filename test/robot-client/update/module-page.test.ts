/** The module that docs/modules.md prints works as it is printed, but for the path of its device. */

import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ModuleFolder } from '../../../robot-client/modules/module-folder.ts';
import { tarGz } from '../../helpers/fleet.ts';
import { printedBlocks } from '../../helpers/printed-pages.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

async function bundleOf(version: string, firmware: string) {
  const payload = await tarGz({ 'firmware.bin': firmware });
  return fleet.makeBundle({ version, payload, manifest: { apply_strategy: 'module/arm' } });
}

test('the module of docs/modules.md updates its controller, and goes back on a recall', async (t) => {
  const folder = await tempFolder(t);
  const device = join(folder, 'controller');
  const modules = join(folder, 'modules.d');
  const printed = printedBlocks('docs/modules.md').find((block) => block.startsWith('#!/bin/sh'));
  assert.ok(printed);
  await mkdir(modules);
  await writeFile(join(modules, 'arm'), printed.replace('/dev/arm-controller', device));
  await chmod(join(modules, 'arm'), 0o755);
  const more = { modules: new ModuleFolder(modules), healthIntervalMs: 5 };
  const bench = await Bench.open(t, more);
  const rests = (version: string): Promise<boolean> =>
    waitUntil(`the arm to rest on ${version}`, () => {
      const { state, version: active, live } = bench.component.view;
      return state.phase === 'idle' && active === version && !live.module;
    });

  bench.announce(await bundleOf('2.0.0', 'two'), '2.0.0');
  await waitUntil('a refusal without the controller', () => bench.codes.includes('MODULE_UNFIT'));
  await writeFile(device, '');
  await waitUntil('the retry to wait', () => bench.component.view.state.retry !== null);
  await bench.component.retry();
  await rests('2.0.0');
  assert.equal(await readFile(device, 'utf8'), 'two');

  bench.announce(await bundleOf('2.1.0', 'two and a bit'), '2.1.0');
  await rests('2.1.0');
  assert.equal(await readFile(device, 'utf8'), 'two and a bit');
  bench.recall('2.1.0');
  await rests('2.0.0');
  assert.equal(await readFile(device, 'utf8'), 'two');

  // An interrupted write: nothing complete runs, and the next start repairs it.
  await writeFile(join(bench.root, 'modules', 'arm', 'version'), '');
  await writeFile(device, 'tw');
  await bench.cutPower();
  await waitUntil('the firmware again', async () => (await readFile(device, 'utf8')) === 'two');
  await rests('2.0.0');
});
