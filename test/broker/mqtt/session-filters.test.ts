import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SessionFilters } from '../../../broker/mqtt/session-filters.ts';
import { filterMatches } from '../../../shared/formats/topics.ts';

const part = fc.constantFrom('fleet', 'robots', 'r1', 'events', '');
const topic = fc
  .tuple(fc.constantFrom('fleet', '$SYS', 'x'), fc.array(part, { maxLength: 3 }))
  .map(([first, rest]) => [first, ...rest].join('/'));
const filter = fc
  .tuple(fc.array(fc.oneof(part, fc.constant('+')), { maxLength: 4 }), fc.boolean())
  .map(([parts, isOpen]) => [...parts, ...(isOpen || parts.length === 0 ? ['#'] : [])].join('/'));
const step = fc.record({
  session: fc.constantFrom('a', 'b', 'c'),
  filter,
  qos: fc.constantFrom(null, 0, 1, 2),
});

describe('the filters of sessions', () => {
  it('find whom a message is kept for, as if each filter were looked at, with the highest QoS', () => {
    const property = fc.property(fc.array(step, { maxLength: 40 }), topic, (steps, text) => {
      const index = new SessionFilters();
      const model = new Map<string, { session: string; filter: string; qos: number }>();
      for (const one of steps) {
        const key = `${one.session} ${one.filter}`;
        if (one.qos === null) {
          index.delete(one.session, one.filter);
          model.delete(key);
        } else {
          index.set(one.session, one.filter, one.qos);
          model.set(key, { ...one, qos: one.qos });
        }
      }
      const wanted = new Map<string, number>();
      for (const { session, filter: kept, qos } of model.values()) {
        if (qos === 0 || !filterMatches(kept, text)) continue;
        wanted.set(session, Math.max(qos, wanted.get(session) ?? 0));
      }
      const found = index.match(text).map(({ clientId, qos }) => [clientId, qos] as const);
      assert.deepEqual(new Map(found), wanted);
      assert.equal(found.length, wanted.size, 'each session once');
      assert.equal(index.sessions, new Set([...model.values()].map((one) => one.session)).size);
    });
    fc.assert(property, { numRuns: 1_000 });
  });
});
