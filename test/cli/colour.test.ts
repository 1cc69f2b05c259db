/** Colours of answers: where there are some, which words get them, and that none is the only sign. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { findingLines } from '../../publisher/doctor/examine.ts';
import { formatTable } from '../../publisher/rollout/fleet-report.ts';
import {
  paintExplained,
  paintFindings,
  paintRobot,
  paintStatus,
  paintTable,
  type Painter,
} from '../../shared/base/tints.ts';
import { isColoured } from '../../shared/io/colour.ts';
import { startDrover } from '../helpers/child.ts';

const paint = (painter: Painter, lines: readonly string[]): string[] =>
  painter(lines, (text, tint) => `<${tint}>${text}</>`);

test('a terminal gets colours, a pipe none; each switch counts as documented', () => {
  const on = (
    isTerminal: boolean,
    environment: Record<string, string> = {},
    ...words: string[]
  ): boolean => isColoured({ isTerminal, environment, words });
  assert.deepEqual([on(true), on(false)], [true, false]);
  assert.deepEqual([on(true, { NO_COLOR: '1' }), on(true, { NO_COLOR: '' })], [false, true]);
  assert.equal(on(true, { TERM: 'dumb' }), false);
  assert.equal(on(true, {}, 'rollout', 'list', '--no-color'), false);
  assert.deepEqual([on(false, { FORCE_COLOR: '1' }), on(false, { FORCE_COLOR: '' })], [true, true]);
  assert.deepEqual(
    [on(true, { FORCE_COLOR: '0' }), on(true, { FORCE_COLOR: 'false' })],
    [false, false],
  );
  assert.equal(on(false, { FORCE_COLOR: '1' }, '--no-color'), false);
  assert.equal(on(false, { FORCE_COLOR: '1', NO_COLOR: '1' }), true, 'as Node does');
});

test('in tables the states have colours, whatever the width, and no line below the table has one', () => {
  const heads = ['ROBOT', 'STATE', 'CODE', 'WAITS FOR'];
  const rows = [
    ['failed', 'failed', 'HEALTH_FAILED', ''],
    ['r2', 'waiting, awaited', '', 'a person'],
    ['r3', 'done', '', ''],
    ['r4', 'updating', '', ''],
  ];
  const lines = [...formatTable([heads, ...rows]), '2 failed, 1 done; it waits for 3'];
  const told = paint(paintTable, lines);
  assert.match(told[1] ?? '', /^failed {2}<red>failed<\/> +HEALTH_FAILED$/);
  assert.match(told[2] ?? '', /^r2 {6}<yellow>waiting, awaited<\/> +<yellow>a person<\/>$/);
  assert.match(told[3] ?? '', /^r3 {6}<green>done<\/>$/);
  assert.deepEqual([told[0], told[4], told[5]], [lines[0], lines[4], lines[5]]);
  const narrow = formatTable([heads, ...rows], 34, { spare: ['CODE'] });
  assert.match(paint(paintTable, narrow)[1] ?? '', /<red>failed<\/>/);
  assert.deepEqual(paint(paintTable, ['no rollout is announced']), ['no rollout is announced']);
});

test('in sentences the state or the label has the colour, and words of robots have none', () => {
  const status = [
    'status    halted, wave 1 of 2',
    'robots    2 failed',
    'failed    1 robot: x',
    '  failed    x',
  ];
  assert.deepEqual(paint(paintStatus, status), [
    ...['status    <red>halted</>, wave 1 of 2', 'robots    2 failed'],
    ...['<red>failed</>    1 robot: x', '  failed    x'],
  ]);
  const finding = { check: 'trust', text: 'fail  x', hint: 'ok  y' } as const;
  assert.deepEqual(paint(paintFindings, findingLines([{ ...finding, verdict: 'warn' }])), [
    ...['<yellow>warn</>  fail  x', '      hint: ok  y', '0 ok, 1 warn, 0 fail, 0 skip'],
  ]);
  assert.deepEqual(
    paint(paintRobot, ['component app 1.0.0: stuck 2.0.0', '  problem it broke (X)']),
    ['component app 1.0.0: <red>stuck 2.0.0</>', '  problem it broke (X)'],
  );
  const explained = [
    '  now: stuck: could not',
    '  refused: no (TOO_OLD)',
    '  hint: do (IT)',
    '  waits for: x',
  ];
  assert.deepEqual(paint(paintExplained, explained), [
    ...['  now: <red>stuck</>: could not', '  <red>refused</>: no (TOO_OLD)'],
    ...['  hint: do (IT)', '  <yellow>waits for</>: x'],
  ]);
});

test('without its colours an answer is the same text, and JSON and a pipe have none', async (t) => {
  const answer = async (environment: Record<string, string | undefined>, ...more: string[]) => {
    const env = { FORCE_COLOR: undefined, NO_COLOR: undefined, ...environment };
    const child = startDrover(t, 'publisher', ['doctor', ...more], { env });
    await child.exit;
    // The free space of the disk changes between two looks.
    return child.stdout.replaceAll(/[0-9.]+ [KMGT]iB/g, 'N');
  };
  const forced = { FORCE_COLOR: '1' };
  const [plain, painted, json] = await Promise.all([
    answer({}),
    answer(forced),
    answer(forced, '--json'),
  ]);
  assert.equal(stripVTControlCharacters(plain), plain);
  assert.ok(painted.startsWith('\u001b[32mok\u001b[39m    drover '), painted);
  assert.equal(stripVTControlCharacters(painted), plain);
  assert.equal(stripVTControlCharacters(json), json);
});
