import assert from 'node:assert/strict';
import { test } from 'node:test';
import { playScenario } from '../e2e/play-scenario.ts';

test('of 100 robots a few canaries take a bad version, and all of them go back by themselves', async (t) => {
  const story = await playScenario(t, 'bad-canary');
  assert.match(story, /halted in wave 1: .*; robots that took it go back/);
  assert.match(story, /ok: every robot runs 1\.0\.0/);
  assert.match(story, /ok: no other robot ever ran 1\.1\.0/);
});
