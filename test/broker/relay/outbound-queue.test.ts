/** The queue of messages for the upstream, on a real disk and over restarts. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { RelayBook } from '../../../broker/relay/store.ts';
import { DurableLevel } from '../../../broker/control/durable-level.ts';
import { UpstreamQueue } from '../../../broker/relay/outbound-queue.ts';
import { parseRolloutId } from '../../../shared/base/ids.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { parseRobotEvent } from '../../../shared/formats/messages.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { encodeEvent, robotId } from '../reports.ts';

const log = makeLog('test', 'silent');

class Disk {
  readonly #folder: string;
  #database: DurableLevel | null = null;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async make(t: TestContext): Promise<Disk> {
    const disk = new Disk(join(await tempFolder(t), 'upstream'));
    t.after(() => disk.#database?.close());
    return disk;
  }

  async database(): Promise<DurableLevel> {
    await this.#database?.close();
    this.#database = await DurableLevel.open(this.#folder, 'utf8');
    return this.#database;
  }

  /** As after a restart. */
  async open(): Promise<UpstreamQueue> {
    return await UpstreamQueue.open(await this.database(), log);
  }
}

async function add(queue: UpstreamQueue, robot: string, seq: number): Promise<void> {
  const payload = encodeEvent(robot, seq);
  await queue.addEvent(parseRobotEvent(payload), payload);
}

async function listed(queue: UpstreamQueue, countMax = 100): Promise<string[]> {
  const said = await queue.take(countMax);
  for (const { at } of said) queue.back(at);
  return said.map(({ robot, leaf, payload }) => {
    return `${robot} ${leaf} ${leaf === 'events' ? parseRobotEvent(payload).event_seq : '-'}`;
  });
}

const KEYS = ['a'.repeat(64)];

describe('the queue for the upstream', () => {
  it('holds what robots said in its order, until it is acknowledged, over restarts', async (t) => {
    const disk = await Disk.make(t);
    let queue = await disk.open();
    await add(queue, 'r1', 1);
    await add(queue, 'r2', 1);
    await queue.addWant(robotId('r1'), new TextEncoder().encode('{}'));
    queue = await disk.open();
    await add(queue, 'r1', 2);
    assert.deepEqual(await listed(queue), [
      'r1 events 1',
      'r2 events 1',
      'r1 want -',
      'r1 events 2',
    ]);
    const [first] = await queue.take(1);
    await queue.remove(first?.at ?? -1);
    queue = await disk.open();
    assert.deepEqual(await listed(queue), ['r2 events 1', 'r1 want -', 'r1 events 2']);
    assert.equal(queue.count, 3);
  });

  it('gives up the very bytes that the robot sent', async (t) => {
    const queue = await (await Disk.make(t)).open();
    const payload = new TextEncoder().encode(
      new TextDecoder().decode(encodeEvent('r1', 1)).replace('{', '{ "note": "  grüß  Gott ",'),
    );
    await queue.addEvent(parseRobotEvent(payload), payload);
    const [said] = await queue.take(1);
    assert.deepEqual(said?.payload, payload);
  });

  it('keeps no copy, also of an event that went up before a restart', async (t) => {
    const disk = await Disk.make(t);
    let queue = await disk.open();
    await add(queue, 'r1', 1);
    await add(queue, 'r1', 1);
    const [said, ...others] = await queue.take(9);
    assert.deepEqual(others, []);
    await queue.remove(said?.at ?? -1);
    queue = await disk.open();
    await add(queue, 'r1', 1); // its PUBACK was lost with us
    assert.equal(queue.count, 0);
    await add(queue, 'r1', 2);
    assert.equal(queue.count, 1);
  });

  it('lets the oldest go when too much waits, and counts them', async (t) => {
    const disk = await Disk.make(t);
    const database = await disk.database();
    const value = `r1 events ${new TextDecoder().decode(encodeEvent('r1', 1))}`;
    const filled = Array.from({ length: LIMITS.upstreamEventsMax }, (_, at) => ({
      ...{ type: 'put' as const, key: `said/${String(at).padStart(16, '0')}`, value },
    }));
    await database.batch(filled);
    const queue = await disk.open();
    await add(queue, 'r2', 1);
    assert.equal(queue.count, LIMITS.upstreamEventsMax);
    assert.equal(queue.dropped, 1);
    const [oldest] = await queue.take(1);
    assert.equal(oldest?.at, 1);
  });

  it('leaves out an entry that cannot be read', async (t) => {
    const disk = await Disk.make(t);
    await add(await disk.open(), 'r1', 1);
    await (await disk.database()).put('said/0000000000000000', 'nonsense');
    const queue = await disk.open();
    await add(queue, 'r2', 1);
    assert.deepEqual(await listed(queue), ['r2 events 1']);
    assert.equal(queue.count, 1);
  });
});

describe('the book of a relay', () => {
  it('keeps its name, and takes another that is wished for', async (t) => {
    const disk = await Disk.make(t);
    const open = async (wished: string | null, made: string): Promise<string> =>
      (await RelayBook.open(await disk.database(), wished, () => made, KEYS)).name;
    assert.equal(await open(null, 'first'), 'first');
    assert.equal(await open(null, 'second'), 'first');
    assert.equal(await open('hall-3', 'third'), 'hall-3');
    assert.equal(await open(null, 'fourth'), 'hall-3');
  });

  it('never lowers a floor, and has it after a restart', async (t) => {
    const disk = await Disk.make(t);
    const open = async (): Promise<RelayBook> =>
      await RelayBook.open(await disk.database(), 'x', () => 'x', KEYS);
    const rollout = parseRolloutId('r-1');
    let book = await open();
    assert.equal(book.floorOf(rollout, KEYS), 0);
    await book.raise(rollout, 7, KEYS);
    await book.raise(rollout, 5, KEYS);
    book = await open();
    assert.equal(book.floorOf(rollout, KEYS), 7);
  });

  it('forgets what a key has said that has no say any more, and keeps what the others said', async (t) => {
    const disk = await Disk.make(t);
    const book = await RelayBook.open(await disk.database(), 'x', () => 'x', KEYS);
    const rollout = parseRolloutId('r-1');
    const stolen = 'b'.repeat(64);
    await book.raise(rollout, 7, KEYS);
    await book.raise(rollout, 2 ** 50, [stolen]);
    assert.equal(book.floorOf(rollout, [...KEYS, stolen]), 2 ** 50);
    assert.equal(book.floorOf(rollout, KEYS), 7);
  });
});
