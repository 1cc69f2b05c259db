import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionDrain, type QueuedPacket } from '../../../broker/mqtt/session-drain.ts';
import { seedOfRun } from '../../helpers/run-seed.ts';
import { Random } from '../../sim/random.ts';

const message = (nth: number): QueuedPacket => ({ brokerId: 'run', brokerCounter: nth });

/**
 * A session with `queued` messages whose client has come back, while others are published: each is
 * put in the queue and later offered to the client; the queue is read in rounds. The next of them
 * is drawn.
 */
class World {
  readonly sent: number[] = [];
  readonly #drain = new SessionDrain();
  readonly #random: Random;
  readonly #queue: number[] = [];
  readonly #dropped = new Set<number>();
  #published = 0;
  #offered: number;
  readonly #total: number;

  constructor(seed: number, queued: number, total: number) {
    this.#random = new Random(seed);
    this.#total = total;
    for (let nth = 0; nth < queued; nth += 1) this.#queue.push(nth);
    this.#published = queued;
    this.#offered = queued;
  }

  get expected(): number[] {
    return Array.from({ length: this.#total }, (_, nth) => nth).filter(
      (nth) => !this.#dropped.has(nth),
    );
  }

  run(): void {
    for (;;) {
      const { held } = this.#drain;
      let handed = 0;
      for (const nth of [...this.#queue]) {
        this.#others();
        const isOnItsWay = nth >= this.#offered;
        if (!this.#drain.hand(message(nth), isOnItsWay)) continue;
        handed += 1;
        this.sent.push(nth);
        this.#drain.wrote(message(nth));
      }
      if (handed > 0) continue;
      this.#drain.giveUp(held);
      this.#others();
      if (this.#drain.tryEnd()) break;
    }
    while (this.#offered < this.#total) this.#others();
  }

  #others(): void {
    while (this.#random.chance(0.6)) {
      if (this.#random.chance(0.5)) this.#publish();
      else this.#offer();
    }
  }

  #publish(): void {
    if (this.#published === this.#total) return;
    const nth = this.#published++;
    // A full queue takes none; what is published while the client is being handed it is lost then.
    if (!this.#drain.isOver && this.#random.chance(0.1)) this.#dropped.add(nth);
    else this.#queue.push(nth);
  }

  #offer(): void {
    if (this.#offered === this.#published) return;
    const nth = this.#offered++;
    if (this.#drain.holds(message(nth))) return;
    this.#dropped.delete(nth);
    this.sent.push(nth);
  }
}

test('each message of a session that comes back is sent once, and in its order', () => {
  const seed = seedOfRun();
  for (let world = 0; world < 500; world += 1) {
    const one = new World(seed + world, world % 7, 40);
    one.run();
    assert.deepEqual(one.sent, one.expected, `seed ${seed + world}`);
  }
});

test('a message that found the queue full does not follow a newer one', () => {
  const drain = new SessionDrain();
  assert.ok(drain.hand(message(3), true), 'message 2 was published before, and not queued');
  drain.wrote(message(3));
  assert.ok(drain.tryEnd());
  assert.ok(drain.holds(message(2)));
  assert.ok(drain.holds(message(3)), 'it was read from the queue');
  assert.ok(drain.isOver);
  assert.equal(drain.holds(message(4)), false);
});

test('a queue that was handed is written to its end before messages are sent directly', async () => {
  const drain = new SessionDrain();
  assert.ok(drain.hand(message(1), false));
  let isWritten = false;
  const written = drain.written().then(() => (isWritten = true));
  await Promise.resolve();
  assert.equal(isWritten, false);
  assert.ok(drain.holds(message(2)), 'it has to wait in the queue');
  drain.wrote(message(1));
  await written;
  assert.equal(drain.tryEnd(), false, 'message 2 is in the queue by now');
  assert.ok(drain.hand(message(2), true));
  drain.wrote(message(2));
  assert.ok(drain.tryEnd());
  assert.equal(drain.holds(message(3)), false);
});

test('the PUBREL of a message that was written does not count as a message', async () => {
  const drain = new SessionDrain();
  assert.ok(drain.hand(message(1), false));
  drain.wrote(message(1));
  drain.wrote(message(1)); // its PUBREL
  assert.ok(drain.hand(message(2), false));
  let isWritten = false;
  const written = drain.written().then(() => (isWritten = true));
  await Promise.resolve();
  assert.equal(isWritten, false, 'message 2 is not written yet');
  drain.wrote(message(1)); // the PUBREL once more
  await Promise.resolve();
  assert.equal(isWritten, false);
  drain.wrote(message(2));
  await written;
  assert.ok(drain.tryEnd());
});
