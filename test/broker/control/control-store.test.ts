import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { filterMatches } from '../../../shared/formats/topics.ts';
import { tempFolder, withTempFolder } from '../../helpers/temp-folder.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string | null =>
  value === undefined ? null : new TextDecoder().decode(value);

const anyTopic = fc.constantFrom(
  'fleet/updates',
  'fleet/robots/r1/state',
  'fleet/robots/r2/state',
  'fleet/rollouts/x-1',
);
const anyMessage = fc.record({
  topic: anyTopic,
  payload: fc.uint8Array({ maxLength: 50 }),
  qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
});

describe('the store of control messages', () => {
  it('is a map of topics that survives a restart; an empty message removes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyMessage, { maxLength: 12 }), async (messages) => {
        await withTempFolder(async (folder) => {
          const model = new Map<string, (typeof messages)[number]>();
          const first = await ControlStore.open(folder);
          for (const message of messages) {
            await first.put(message);
            if (message.payload.byteLength === 0) model.delete(message.topic);
            else model.set(message.topic, message);
          }
          await first.close();
          const second = await ControlStore.open(folder);
          for (const store of [first, second]) {
            assert.equal(store.size, model.size);
            for (const [topic, { payload, qos }] of model) {
              assert.deepEqual(new Uint8Array(store.get(topic)?.payload ?? []), payload);
              assert.equal(store.get(topic)?.qos, qos);
            }
          }
          await second.close();
        });
      }),
      { numRuns: 15 },
    );
  });

  it('matches a filter by the rules of MQTT', async (t) => {
    const store = await ControlStore.open(await tempFolder(t));
    t.after(() => store.close());
    const topics = ['fleet/updates', 'fleet/robots/r1/state', 'fleet/robots/r2/state'];
    for (const topic of topics) await store.put({ topic, payload: bytes(topic), qos: 1 });
    for (const filter of [...topics, 'fleet/#', 'fleet/robots/+/state', '+/+', 'fleet/none']) {
      assert.deepEqual(
        [...store.match(filter)].map(({ payload }) => text(payload)).sort(),
        topics.filter((topic) => filterMatches(filter, topic)).sort(),
        filter,
      );
    }
  });

  it('keeps a copy: a caller that changes its bytes later changes nothing', async (t) => {
    const store = await ControlStore.open(await tempFolder(t));
    t.after(() => store.close());
    const payload = bytes('first');
    await store.put({ topic: 'fleet/updates', payload, qos: 1 });
    payload.fill(0);
    assert.equal(text(store.get('fleet/updates')?.payload), 'first');
  });

  it('can be opened by one broker at a time', async (t) => {
    const folder = await tempFolder(t);
    const store = await ControlStore.open(folder);
    t.after(() => store.close());
    await assert.rejects(ControlStore.open(folder), { code: 'DATA_LOCKED' });
  });
});
