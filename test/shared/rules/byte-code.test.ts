/**
 * Byte code of Python: the files that count as such, and what real compiled files say of their
 * source.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import {
  isByteCode,
  parseByteCodeHead,
  sourceOfByteCode,
} from '../../../shared/rules/byte-code.ts';
import { requirePeer } from '../../helpers/peer.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

test('compiled files and all that stands in __pycache__ is byte code, and nothing else', () => {
  const yes = ['a.pyc', 'x/a.pyo', '__pycache__/a.cpython-311.pyc', 'x/__pycache__/f.1.nbc'];
  const no = ['a.py', '__pycache__', 'x/pyc', 'a.pyc/x', 'x__pycache__/a'];
  assert.deepEqual(yes.map(isByteCode), [true, true, true, true]);
  assert.deepEqual(no.map(isByteCode), [false, false, false, false, false]);
});

test('a compiled file leads to its source', () => {
  const cases: readonly (readonly [string, string | null])[] = [
    ['x/__pycache__/a.cpython-311.pyc', 'x/a.py'],
    ['__pycache__/a.b.cpython-311.opt-1.pyc', 'a.b.py'],
    ['x/a.pyc', 'x/a.py'],
    ['__pycache__/odd.pyc', null],
    ['a.py', null],
  ];
  for (const [path, source] of cases) assert.equal(sourceOfByteCode(path), source, path);
});

test('the head of what Python compiled says time and size, and nothing when it holds a hash', async (t) => {
  if (!requirePeer(t, 'python3')) return;
  const folder = await tempFolder(t);
  writeFileSync(join(folder, 'mod.py'), 'X = 1\n');
  utimesSync(join(folder, 'mod.py'), 1_600_000_000, 1_600_000_000);
  const compile = (mode: string): Uint8Array => {
    const args = ['-m', 'compileall', '-q', '-f', '--invalidation-mode', mode, folder];
    execFileSync('python3', args);
    const [name = ''] = readdirSync(join(folder, '__pycache__'));
    return readFileSync(join(folder, '__pycache__', name));
  };
  const timed = parseByteCodeHead(compile('timestamp'));
  assert.deepEqual(timed, { sourceTimeS: 1_600_000_000, sourceBytes: 6 });
  assert.equal(parseByteCodeHead(compile('unchecked-hash')), null);
  assert.equal(parseByteCodeHead(compile('checked-hash')), null);
  assert.equal(parseByteCodeHead(new Uint8Array(3)), null);
});
