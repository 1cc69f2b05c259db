/** Events that an external engine brought, over restarts. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Level } from 'level';
import { EventJournal } from '../../../broker/attached/event-journal.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { encodeEvent, robotId } from '../reports.ts';

const log = makeLog('test', 'silent');
const add = (journal: EventJournal, robot: string, seq: number): Promise<void> =>
  journal.add(robotId(robot), encodeEvent(robot, seq));

async function listed(journal: EventJournal): Promise<string[]> {
  const found: string[] = [];
  for await (const event of journal.events(log)) found.push(`${event.robot_id} ${event.event_seq}`);
  return found;
}

async function openIn(t: TestContext): Promise<{ folder: string; journal: EventJournal }> {
  const folder = join(await tempFolder(t), 'journal');
  return { folder, journal: await EventJournal.open(folder) };
}

describe('the event journal', () => {
  it('gives back what was added, in order, also after a restart', async (t) => {
    const { folder, journal } = await openIn(t);
    await add(journal, 'r1', 1);
    await add(journal, 'r2', 1);
    await journal.close();
    const again = await EventJournal.open(folder);
    t.after(() => again.close());
    await add(again, 'r1', 2);
    assert.deepEqual(await listed(again), ['r1 1', 'r2 1', 'r1 2']);
  });

  it('keeps the name of its client, and belongs to one broker at a time', async (t) => {
    const { folder, journal } = await openIn(t);
    assert.equal(await journal.clientId(() => 'first'), 'first');
    await assert.rejects(EventJournal.open(folder), { code: 'DATA_LOCKED' });
    await journal.close();
    const again = await EventJournal.open(folder);
    t.after(() => again.close());
    assert.equal(await again.clientId(() => 'second'), 'first');
  });

  it('leaves out an entry that cannot be read, and says so', async (t) => {
    const { folder, journal } = await openIn(t);
    await add(journal, 'r1', 1);
    await add(journal, 'r1', 2);
    await journal.close();
    const raw = new Level<string, string>(folder);
    const [first] = await raw.keys({ gte: 'event/', limit: 1 }).all();
    await raw.put(first as string, 'r1 {"event_seq":');
    await raw.close();
    const again = await EventJournal.open(folder);
    t.after(() => again.close());
    const said: string[] = [];
    const listening = { ...log, error: (_: object, text: string) => void said.push(text) };
    const found: number[] = [];
    for await (const event of again.events(listening)) found.push(event.event_seq);
    assert.deepEqual([found, said.length], [[2], 1]);
  });
});
