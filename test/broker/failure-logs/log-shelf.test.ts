import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LogShelf } from '../../../broker/failure-logs/log-shelf.ts';
import { planShelf, type ShelfEntry } from '../../../broker/failure-logs/shelf-plan.ts';
import { parseRobotId, type RobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { logMessages } from '../../../shared/formats/failure-log.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { packLog } from '../../../shared/io/packed-log.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const R1 = parseRobotId('r1');
const NOW = Date.parse('2026-01-01T00:00:00Z');
const headOf = (component: string, rollout = 'one') => ({
  ...{ component, rollout, version: '1.1.0', code: 'HEALTH_FAILED', message: 'no camera' },
  failed_at: '2026-01-01T00:00:00.000Z',
});

async function put(shelf: LogShelf, robot: RobotId, component: string, text: string) {
  const packed = await packLog(text, [], LIMITS.failureLogBytesMax);
  assert.ok(packed);
  for (const message of logMessages(robot, headOf(component), packed)) shelf.take(robot, message);
  await shelf.close();
}

describe('the shelf of logs', () => {
  it('has the last log of each component, over a restart of the broker', async (t) => {
    const folder = join(await tempFolder(t), 'logs');
    const options = { folder, log: makeLog('test', 'silent'), now: () => NOW };
    const shelf = await LogShelf.open(options);
    await put(shelf, R1, 'app', 'first');
    await put(shelf, R1, 'app', 'second');
    await put(shelf, R1, 'arm', 'other');
    await put(shelf, parseRobotId('r2'), 'app', 'of r2');
    await writeFile(join(folder, 'r3.app'), 'damaged');
    const again = await LogShelf.open(options);
    assert.deepEqual(
      again.of(R1).map(({ head, receivedMs }) => [head.component, receivedMs]),
      [
        ['app', NOW],
        ['arm', NOW],
      ],
    );
    assert.equal(await again.read(R1, 'app'), 'second\n');
    assert.equal(await again.read(R1, '../r2.app'), null);
    assert.deepEqual(again.of(parseRobotId('r3')), []);
    await again.forget(R1);
    assert.deepEqual(await readdir(folder), ['r2.app', 'r3.app']);
  });

  it('takes no part that it cannot read, and goes on', async (t) => {
    const folder = join(await tempFolder(t), 'logs');
    const shelf = await LogShelf.open({ folder, log: makeLog('test', 'silent'), now: () => NOW });
    shelf.take(R1, Buffer.from('nonsense'));
    await put(shelf, R1, 'app', 'well');
    assert.equal(await shelf.read(R1, 'app'), 'well\n');
  });
});

describe('a log that the shelf removes for a new one', () => {
  const entry = (robot: string, component: string, more: Partial<ShelfEntry> = {}): ShelfEntry => ({
    ...{ robot: parseRobotId(robot), head: headOf(component), bytes: 1_000, receivedMs: NOW },
    ...more,
  });

  it('is the log of the same component, and those that are too old', () => {
    const same = entry('r1', 'app');
    const old = entry('r2', 'app', { receivedMs: NOW - LIMITS.failureLogAgeMsMax - 1 });
    const stays = entry('r1', 'arm');
    assert.deepEqual(planShelf([same, old, stays], entry('r1', 'app'), NOW), [same, old]);
  });

  it('is the oldest of all while the share of all robots is used up', () => {
    const bytes = LIMITS.failureLogsBytesMax / 4;
    const stored = ['a', 'b', 'c', 'd'].map((id, at) =>
      entry(id, 'app', { bytes, receivedMs: NOW + at }),
    );
    const removed = planShelf(stored.toReversed(), entry('e', 'app', { bytes }), NOW + 9);
    assert.deepEqual(removed, [stored[0]]);
  });

  it('is an own log of a robot that invents components', () => {
    const own = Array.from({ length: LIMITS.setMembersMax }, (_, at) =>
      entry('r1', `c${at}`, { receivedMs: NOW + at }),
    );
    const removed = planShelf(
      [entry('r2', 'app', { receivedMs: 0 + NOW }), ...own],
      entry('r1', 'x'),
      NOW,
    );
    assert.deepEqual(removed, [own[0]]);
  });
});
