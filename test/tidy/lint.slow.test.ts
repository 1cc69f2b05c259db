/** The linter and the finder of dead code, whose rules stand in .oxlintrc.json and knip.jsonc. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { repositoryFile } from '../helpers/repository.ts';

const repository = dirname(repositoryFile('package.json'));

/** Output of a tool, empty when it finds nothing. */
function complaintsOf(tool: string, ...args: string[]): string {
  const program = `node_modules/.bin/${tool}`;
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: repository });
  return status === 0 ? '' : `exit ${status}\n${stdout.toString()}${stderr.toString()}`;
}

test('oxlint finds nothing, a promise without an owner least of all', () => {
  assert.equal(complaintsOf('oxlint', '--type-aware'), '');
});

test('knip finds no file, export or package that nothing uses', () => {
  assert.equal(complaintsOf('knip'), '');
  assert.equal(complaintsOf('knip', '--production', '--exclude', 'types'), '');
});
