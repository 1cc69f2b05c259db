/** Rollouts that no controller of this broker leads, as people read them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRollout, type RolloutAnswer } from '../../../publisher/rollout/rollout-answer.ts';
import {
  changeLine,
  endOf,
  listLines,
  statusLines,
} from '../../../publisher/rollout/rollout-report.ts';
import { waitsFor } from '../../../shared/rules/rollout-words.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';

const NOW = Date.parse('2026-11-23T18:00:00Z');
const ROBOTS = { targeted: 2, running: 2, in_progress: 0, failed: 0, waiting: 0, excluded: {} };
const ROLLOUT = {
  ...{ id: 'app-1', component: 'app', version: '1.4.2', emergency: false, announced: true },
  ...{ waves: [{ percent: 100, soak_s: 0 }], status: 'announced', wave: null, threshold: null },
  ...{ reasons: [], robots: ROBOTS, run: null, led: 'nobody' },
};

const read = (more: object = {}): RolloutAnswer =>
  parseRollout(utf8(JSON.stringify({ ...ROLLOUT, ...more })));
const withRobots = (more: object): RolloutAnswer => read({ robots: { ...ROBOTS, ...more } });

test('one wave for everybody needs no controller, and is complete when all that are known run it', () => {
  assert.equal(endOf(read()), 'complete');
  assert.equal(waitsFor(read(), NOW), 'for nothing');
  assert.match(changeLine(read()), /^complete, open to 100 % of the fleet; 2 targeted: 2 run it/);
  assert.match(listLines([read()])[1] ?? '', /^app-1 +app 1\.4\.2 +complete +1\/1 +100 % +2\/2/);
  const going = withRobots({ running: 1, waiting: 1 });
  assert.equal(endOf(going), null);
  assert.match(listLines([going])[1] ?? '', / announced +1\/1 +100 % +1\/2/);
  assert.equal(waitsFor(going, NOW), 'for robots to take it: they need no controller for that');
  assert.equal(endOf(withRobots({ running: 1, in_progress: 1 })), null);
  assert.equal(endOf(withRobots({ targeted: 0, running: 0 })), null, 'none has reported yet');
  assert.equal(endOf(read({ emergency: true })), 'complete');
});

test('a watch does not wait for robots that failed or cannot take it, and names how many', () => {
  const failed = withRobots({ running: 1, failed: 1 });
  assert.equal(endOf(failed), 'unable');
  assert.equal(waitsFor(failed, NOW), 'only for robots that failed or cannot take it: 1 failed');
  const sick = withRobots({ running: 1, excluded: { DISK_FULL: 1 } });
  assert.match(waitsFor(sick, NOW), /cannot take it: 1 DISK_FULL$/);
  assert.equal(endOf(withRobots({ running: 1, excluded: { NOT_NEWER: 1 } })), 'complete');
  assert.equal(endOf(withRobots({ running: 0, excluded: { NOT_NEWER: 2 } })), 'no_effect');
});

test('a command that needs a controller says that none is here, and on a relay that it is above', () => {
  const waves = [{ percent: 10, soak_s: 0 }, ROLLOUT.waves[0]];
  for (const [led, said] of [
    ['nobody', /^for a controller: this broker leads none \(drover-broker --rollout-key\)$/],
    ['above', /^for a controller of the broker above: a relay leads none$/],
  ] as const) {
    const rollout = read({ waves, led });
    assert.match(waitsFor(rollout, NOW), said);
    assert.equal(endOf(rollout), null);
    assert.match(listLines([rollout])[1] ?? '', / announced +-\/2 +0 %/);
    const open = read({ waves, led, status: 'rolling', wave: 1, threshold: 0.1 });
    assert.match(waitsFor(open, NOW), /for the controller of (the|another) broker/);
    assert.equal(endOf(read({ waves, led, status: 'complete' })), 'complete');
    const told = statusLines(read({ waves, led, status: 'complete', wave: 2, threshold: 1 }), NOW);
    assert.ok(told.includes('waits     for nothing'));
  }
  for (const led of [null, 'here']) {
    assert.match(waitsFor(read({ led }), NOW), /^no controller of this broker leads it yet/);
    assert.equal(endOf(read({ led })), null);
  }
});
