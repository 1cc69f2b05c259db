/** The scenarios of the demo, as a user starts them. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';

/** The scenario checks what it shows and fails by itself; what it printed says that it did. */
export async function playScenario(t: TestContext, scenario: string): Promise<string> {
  const demo = repositoryFile('dist/examples/demo.js');
  const child = startChild(t, process.execPath, [demo, '--scenario', scenario, '--robots', '100']);
  assert.deepEqual(await child.exit, { code: 0, signal: null }, child.describe());
  return child.stdout;
}
