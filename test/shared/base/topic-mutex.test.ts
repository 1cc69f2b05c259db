import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TopicMutex } from '../../../shared/base/serial-queue.ts';

describe('tasks under the mutex of their topic', () => {
  it('run in order, one at a time, when the topic is the same', async () => {
    const mutex = new TopicMutex();
    const told: string[] = [];
    const task = (name: string, ms: number) => async (): Promise<void> => {
      told.push(`${name} starts`);
      await sleep(ms);
      told.push(`${name} ends`);
    };
    await Promise.all([mutex.run('a', task('slow', 20)), mutex.run('a', task('fast', 0))]);
    assert.deepEqual(told, ['slow starts', 'slow ends', 'fast starts', 'fast ends']);
  });

  it('do not wait for tasks of other topics', async () => {
    const mutex = new TopicMutex();
    let open = (): void => {};
    const held = mutex.run('a', () => new Promise<void>((resolve) => (open = resolve)));
    assert.equal(await mutex.run('b', () => Promise.resolve('done')), 'done');
    open();
    await held;
  });

  it('go on after a task that failed, and only its caller gets the error', async () => {
    const mutex = new TopicMutex();
    const failed = mutex.run('a', () => Promise.reject(new Error('no')));
    const next = mutex.run('a', () => Promise.resolve('done'));
    await assert.rejects(failed, /no/);
    assert.equal(await next, 'done');
  });
});
