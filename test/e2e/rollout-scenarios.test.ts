import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';

/** The scenario checks what it shows and fails by itself; what it printed says that it did. */
async function play(t: TestContext, scenario: string): Promise<string> {
  const demo = repositoryFile('dist/examples/demo.js');
  const child = startChild(t, process.execPath, [demo, '--scenario', scenario, '--robots', '100']);
  assert.deepEqual(await child.exit, { code: 0, signal: null }, child.describe());
  return child.stdout;
}

test('of 100 robots a few canaries take a bad version, and all of them go back by themselves', async (t) => {
  const story = await play(t, 'bad-canary');
  assert.match(story, /halted in wave 1: .*; robots that took it go back/);
  assert.match(story, /ok: every robot runs 1\.0\.0/);
  assert.match(story, /ok: no other robot ever ran 1\.1\.0/);
});

test('a good version reaches all of 100 robots, wave after wave', async (t) => {
  const story = await play(t, 'good');
  const opened = [...story.matchAll(/ opened +wave (\d)/g)].map(([, wave]) => wave);
  assert.deepEqual(opened, ['1', '2', '3', '4']);
  assert.match(story, /ok: all 100 robots run 1\.1\.0/);
});
