import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { ANYONE } from '../../../broker/access/access.ts';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { DroverPersistence, openSessions } from '../../../broker/mqtt/persistence.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const SUB = { qos: 1 as const };

interface Opened {
  readonly persistence: DroverPersistence;
  close(): Promise<void>;
}

async function open(t: TestContext): Promise<DroverPersistence> {
  const { persistence, close } = await openIn(await tempFolder(t));
  t.after(close);
  return persistence;
}

async function openIn(folder: string): Promise<Opened> {
  const control = await ControlStore.open(join(folder, 'control'));
  const sessions = await openSessions(join(folder, 'sessions'));
  const log = makeLog('test', 'silent');
  const options = { sessions, control, log };
  const close = async (): Promise<void> => {
    await sessions.close();
    await control.close();
  };
  return { persistence: new DroverPersistence(options), close };
}

describe('the memory of sessions', () => {
  it('keeps the filters that were granted, not all that were in the packet', async (t) => {
    const persistence = await open(t);
    persistence.keepSubscriptionsIf((_client, filter) => filter === 'fleet/updates');
    const asked = ['fleet/updates', 'fleet/robots/+/events'];
    await persistence.addSubscriptions(
      { id: 'spy' },
      asked.map((topic) => ({ topic, ...SUB })),
    );
    const kept = await persistence.subscriptionsByTopic('fleet/updates');
    assert.deepEqual(
      kept.map(({ clientId }) => clientId),
      ['spy'],
    );
    assert.deepEqual(await persistence.subscriptionsByTopic('fleet/robots/r1/events'), []);
  });

  it('queues in the order in which it was asked, also past one that takes longer', async (t) => {
    const persistence = await open(t);
    const ended: string[] = [];
    const queue = async (name: string, sessions: number): Promise<void> => {
      const subscriptions = Array.from({ length: sessions }, (_, at) => ({ clientId: `c${at}` }));
      const message = { topic: 'fleet/updates', payload: Buffer.from(name), ...SUB, retain: false };
      const numbered = { ...message, brokerId: 'b', brokerCounter: ended.length + 1 };
      await persistence.outgoingEnqueueCombi(subscriptions, numbered);
      ended.push(name);
    };
    await Promise.all([queue('many', 50), queue('none', 0), queue('one', 1)]);
    assert.deepEqual(ended, ['many', 'none', 'one']);
  });

  it('has room for so many sessions, and always for one that is there', async (t) => {
    const persistence = await open(t);
    persistence.keepSubscriptionsIf(() => true);
    const topics = [{ topic: 'fleet/updates', ...SUB }];
    for (let at = 0; at < LIMITS.sessionsMax; at += 1) {
      assert.ok(persistence.book.hasRoomFor(`s${at}`, ANYONE));
      await persistence.addSubscriptions({ id: `s${at}` }, topics);
    }
    assert.ok(!persistence.book.hasRoomFor('one-more', ANYONE));
    assert.ok(persistence.book.hasRoomFor('s7', ANYONE));
    await persistence.removeSubscriptions({ id: 's7' }, ['fleet/updates']);
    assert.ok(persistence.book.hasRoomFor('one-more', ANYONE));
  });

  it('lets a message be sent that found no room in the queue', async (t) => {
    const persistence = await open(t);
    const packet = { messageId: 7, brokerId: 'b', brokerCounter: 1, topic: 'fleet/updates' };
    await persistence.outgoingUpdate({ id: 'relay' }, packet);
    assert.equal(await persistence.outgoingClearMessageId({ id: 'relay' }, packet), undefined);
  });

  it('knows sessions and their filters again after a start, whatever characters ids have', async (t) => {
    const folder = await tempFolder(t);
    const ids = ['plain', 'a:b', 'ä/€ %3A', 'a'];
    const first = await openIn(folder);
    first.persistence.keepSubscriptionsIf(() => true);
    for (const id of ids) {
      await first.persistence.addSubscriptions({ id }, [
        { topic: 'fleet/robots/+/events', ...SUB },
      ]);
    }
    await first.close();
    const second = await openIn(folder);
    t.after(() => second.close());
    await second.persistence.setup({ id: 'broker' });
    const kept = await second.persistence.subscriptionsByTopic('fleet/robots/r1/events');
    assert.deepEqual(kept.map(({ clientId }) => clientId).sort(), ids.toSorted());
  });
});
