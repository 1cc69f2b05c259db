import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TopicLanes } from '../../../shared/base/serial-queue.ts';

describe('the lanes of topics', () => {
  it('run the tasks of one topic in order, one at a time', async () => {
    const lanes = new TopicLanes();
    const told: string[] = [];
    const task = (name: string, ms: number) => async (): Promise<void> => {
      told.push(`${name} starts`);
      await sleep(ms);
      told.push(`${name} ends`);
    };
    await Promise.all([lanes.run('a', task('slow', 20)), lanes.run('a', task('fast', 0))]);
    assert.deepEqual(told, ['slow starts', 'slow ends', 'fast starts', 'fast ends']);
  });

  it('do not wait for each other', async () => {
    const lanes = new TopicLanes();
    let open = (): void => {};
    const held = lanes.run('a', () => new Promise<void>((resolve) => (open = resolve)));
    assert.equal(await lanes.run('b', () => Promise.resolve('done')), 'done');
    open();
    await held;
  });

  it('go on after a task that failed, and only its caller gets the error', async () => {
    const lanes = new TopicLanes();
    const failed = lanes.run('a', () => Promise.reject(new Error('no')));
    const next = lanes.run('a', () => Promise.resolve('done'));
    await assert.rejects(failed, /no/);
    assert.equal(await next, 'done');
  });
});
