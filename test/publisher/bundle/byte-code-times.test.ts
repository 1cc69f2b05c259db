/** The times of a tree that are packed: those that make byte code valid on the robot. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { byteCodeTimes } from '../../../publisher/bundle/byte-code-times.ts';

const source = { path: 'mod.py', bytes: 6, timeS: 1_600_000_000, byteCode: null };
const compiled = (sourceTimeS: number, sourceBytes: number | null) => ({
  path: '__pycache__/mod.cpython-311.pyc',
  bytes: 100,
  timeS: 1_700_000_000,
  byteCode: { sourceTimeS, sourceBytes },
});

test('a source keeps the time that its byte code names', () => {
  const { times, stale } = byteCodeTimes([source, compiled(1_600_000_000, 6)]);
  assert.deepEqual([...times], [['mod.py', 1_600_000_000]]);
  assert.deepEqual(stale, []);
});

test('byte code of another source never becomes valid by packing it', () => {
  for (const [timeS, bytes] of [
    [1_599_999_999, 6],
    [1_600_000_000, 7],
  ] as const) {
    const { times, stale } = byteCodeTimes([source, compiled(timeS, bytes)]);
    assert.deepEqual([...times], []);
    assert.deepEqual(stale, ['__pycache__/mod.cpython-311.pyc']);
  }
});

test('byte code without a source and sources without byte code have no time', () => {
  const other = { ...source, path: 'other.py' };
  const { times, stale } = byteCodeTimes([other, compiled(1_600_000_000, 6)]);
  assert.deepEqual([[...times], stale], [[], []]);
});
