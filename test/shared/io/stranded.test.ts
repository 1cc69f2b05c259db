/** A command that can never end says so, with the exit code of a bug; Node alone would say nothing. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./stranded-program.js', import.meta.url));

test('work that waits for nothing any more ends with code 1 and a word', () => {
  const options = { encoding: 'utf8', timeout: 30_000 } as const;
  const { status, stderr } = spawnSync(process.execPath, [PROGRAM], options);
  assert.equal(status, 1, stderr);
  assert.match(stderr, /^stranded: error: .*stopped before its end.* \(INTERNAL\)$/m);
});
