/** A fleet in which one robot has the module, one lacks it, and one is another machine. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { BOARD, flashOf, writeBoard } from '../helpers/board-module.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

interface RobotRow {
  readonly robot_id: string;
  readonly version: string | null;
  readonly strategy: string | null;
  readonly modules: readonly string[];
  readonly last_error: { readonly code: string } | null;
}

test('a robot with the module takes the update, and each other one says why it does not', async (t) => {
  const site = await Site.open(t);
  const broker = await startBrokerChild(t, { args: ['--trust', site.path('trust.json')] });
  await site.bundle('1.0.0'); // for an application's folder
  const out = site.path('bundles', 'board');
  const machines = ['--compatible', 'board-3', '--compatible', 'board-4'];
  const what = ['--version', '1.0.0', '--arch', 'any', '--out', out];
  const built = await site.drover(
    ...['build', site.path('apps/1.0.0'), '--module', BOARD, ...machines, ...what],
  );
  assert.match(built, /^applied by module\/board$/m);
  await site.drover('sign', out, '--key', site.path('release.key'));
  const shown = await site.drover('inspect', out);
  assert.match(shown, /^strategy {4}module\/board\nmachines {4}board-3, board-4$/m);

  const names = site.path('machine');
  await writeFile(names, 'maker,board-4\0board-4\0'); // as a device tree has it
  await writeBoard(site.path('with'));
  const withModule = ['--modules', site.path('with')];
  const has = site.robot('has', broker.url, [...withModule, '--compatible-file', names]);
  site.robot('lacks', broker.url, ['--compatible', 'board-3']);
  site.robot('other', broker.url, [...withModule, '--compatible', 'board-9']);
  const rows = async (): Promise<Map<string, RobotRow>> => {
    const text = await site.drover('fleet', 'robots', '--broker', broker.url, '--json');
    const { robots } = JSON.parse(text) as { robots: RobotRow[] };
    return new Map(robots.map((row) => [row.robot_id, row]));
  };
  await waitUntil('three robots', async () => (await rows()).size === 3);
  const { stderr: said } = await site.tryDrover(
    {},
    ...site.publishArgs(broker.url, out, '--id', 'b-1'),
  );
  assert.match(said, /1 will take it/);
  assert.match(said, /COMPATIBLE_WRONG\): other/);
  assert.match(said, /MODULE_MISSING\): lacks/);

  await has.runs('1.0.0');
  await waitUntil('all to say what they make of it', async () => {
    const all = await rows();
    const codes = ['lacks', 'other'].map((id) => all.get(id)?.last_error?.code);
    return codes.join(' ') === 'MODULE_MISSING COMPATIBLE_WRONG';
  });
  assert.equal(await flashOf(has.root), '1.0.0');
  const table = await site.drover('fleet', 'robots', '--broker', broker.url);
  assert.match(table, /^has .* 1\.0\.0 \(module\/board\) /m);
  const row = (await rows()).get('has');
  assert.deepEqual([row?.strategy, row?.modules], ['module/board', [BOARD]]);
  const answer = await fetch(`${broker.httpUrl}/robots/has`);
  const shownRobot = (await answer.json()) as RobotRow & { compatible: string[] };
  assert.equal(shownRobot.strategy, 'module/board');
  assert.deepEqual(shownRobot.compatible, ['maker,board-4', 'board-4']);
});
