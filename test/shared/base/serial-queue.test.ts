import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SerialQueue } from '../../../shared/base/serial-queue.ts';

/** Lets others run a number of times before it ends. */
async function steps(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) await Promise.resolve();
}

describe('a serial queue', () => {
  it('runs tasks in order, one at a time, and gives each caller its own end', async () => {
    const task = fc.record({ steps: fc.nat(8), fails: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(task, { maxLength: 20 }), async (tasks) => {
        const queue = new SerialQueue();
        const told: string[] = [];
        const ends = tasks.map((one, at) =>
          queue.run(async () => {
            told.push(`${at} starts`);
            await steps(one.steps);
            told.push(`${at} ends`);
            if (one.fails) throw new Error(`task ${at}`);
            return at;
          }),
        );
        assert.equal(queue.size, tasks.length);
        const settled = await Promise.allSettled(ends);
        await queue.idle();
        assert.equal(queue.size, 0);
        const inOrder = tasks.flatMap((_, at) => [`${at} starts`, `${at} ends`]);
        assert.deepEqual(told, inOrder);
        for (const [at, end] of settled.entries()) {
          if (end.status === 'fulfilled') assert.equal(end.value, at);
          else assert.equal((end.reason as Error).message, `task ${at}`);
          assert.equal(end.status === 'rejected', tasks[at]?.fails);
        }
      }),
    );
  });

  it('rejects with what a task throws before its first await', async () => {
    const queue = new SerialQueue();
    const failed = queue.run(() => {
      throw new Error('at once');
    });
    const next = queue.run(() => 'done');
    await assert.rejects(failed, /at once/);
    assert.equal(await next, 'done');
  });

  it('is idle when all that was asked for before has ended, well or not', async () => {
    const queue = new SerialQueue();
    let hasEnded = false;
    const failed = queue.run(async () => {
      await steps(5);
      hasEnded = true;
      throw new Error('no');
    });
    const idle = queue.idle();
    await assert.rejects(failed, /no/);
    await idle;
    assert.ok(hasEnded);
    await queue.idle();
  });

  it('refuses a task beyond its bound and goes on with the others', async () => {
    const queue = new SerialQueue(2);
    const first = queue.run(() => steps(1));
    const second = queue.run(() => steps(1));
    await assert.rejects(
      queue.run(() => steps(1)),
      RangeError,
    );
    await Promise.all([first, second]);
    assert.equal(await queue.run(() => 'room again'), 'room again');
  });
});
