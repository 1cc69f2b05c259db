/** `npm run demo` does what it promises, and the README shows lines that it prints. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';

/** The percentage at which the robot was killed differs in each run. */
const plain = (line: string): string => line.trim().replace(/\d+ %/, '… %');

test('the demo ends well, and prints what the README shows of it, in that order', async (t) => {
  const child = startChild(t, process.execPath, [repositoryFile('dist/examples/demo.js')], {});
  await child.exit;
  assert.equal(child.ended?.code, 0, child.describe());
  const readme = readFileSync(repositoryFile('README.md'), 'utf8');
  const shown = /Some of what it prints:\n\n```text\n(.*?)```/s.exec(readme)?.[1] ?? '';
  assert.ok(shown.split('\n').length > 5, 'the README shows some of it');
  let rest = child.stdout.split('\n').map(plain);
  for (const line of shown.trimEnd().split('\n').map(plain)) {
    const at = rest.indexOf(line);
    assert.ok(at >= 0, `printed after the line before it: ${line}\n${child.stdout}`);
    rest = rest.slice(at + 1);
  }
});
