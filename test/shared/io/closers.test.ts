import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Closers } from '../../../shared/io/closers.ts';

test('the part that was opened last is closed first, and once', async () => {
  const closed: string[] = [];
  const running = await Closers.open(async (closers) => {
    closers.add(() => void closed.push('lock'));
    const port = closers.with({ number: 1, close: async () => void closed.push('port') });
    return { port: port.number };
  });
  assert.equal(running.port, 1);
  await running.close();
  await running.close();
  assert.deepEqual(closed, ['port', 'lock']);
});

test('a start that fails closes what was opened, and says why it failed', async () => {
  const closed: string[] = [];
  const start = Closers.open(async (closers) => {
    closers.add(() => void closed.push('lock'));
    closers.add(() => Promise.reject(new Error('the end failed as well')));
    throw new Error('no port');
  });
  await assert.rejects(start, /no port/);
  assert.deepEqual(closed, ['lock']);
});

test('one part that does not close keeps no other open, and is reported', async () => {
  const closed: string[] = [];
  const closers = new Closers();
  closers.add(() => void closed.push('lock'));
  closers.add(() => Promise.reject(new Error('the port hangs')));
  closers.add(() => void closed.push('door'));
  await assert.rejects(closers.close(), /the port hangs/);
  assert.deepEqual(closed, ['door', 'lock']);
});
