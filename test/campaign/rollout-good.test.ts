import assert from 'node:assert/strict';
import { test } from 'node:test';
import { playScenario } from '../e2e/play-scenario.ts';

test('a good version reaches all of 100 robots, wave after wave', async (t) => {
  const story = await playScenario(t, 'good');
  const opened = [...story.matchAll(/ opened +wave (\d)/g)].map(([, wave]) => wave);
  assert.deepEqual(opened, ['1', '2', '3', '4']);
  assert.match(story, /ok: all 100 robots run 1\.1\.0/);
});
