import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { filterMatches } from '../../../shared/formats/topics.ts';

/** The rules of MQTT 3.1.1 §4.7 written once more, as one regular expression for each filter. */
function referenceMatches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false;
  const source = filter
    .split('/')
    .map((level) => {
      if (level === '+') return '/[^/]*';
      if (level === '#') return '(?:/[^]*)?';
      return `/${level.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`;
    })
    .join('');
  return new RegExp(`^${source}$`).test(`/${topic}`);
}

const anyLevel = fc.constantFrom('a', 'b', '', '$SYS', 'a.b', 'fleet');
const anyTopic = fc
  .array(anyLevel, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'));
const anyFilter = fc
  .tuple(
    fc.array(fc.oneof(anyLevel, fc.constant('+')), { maxLength: 5 }),
    fc.constantFrom([], ['#']),
  )
  .map(([levels, end]) => [...levels, ...end])
  .filter((levels) => levels.length > 0)
  .map((levels) => levels.join('/'));

describe('topic filters', () => {
  it('match what the standard says, for every filter and topic', () => {
    fc.assert(
      fc.property(anyFilter, anyTopic, (filter, topic) => {
        assert.equal(filterMatches(filter, topic), referenceMatches(filter, topic));
      }),
      { numRuns: 3_000 },
    );
  });

  const examples: readonly [string, string, boolean][] = [
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/#', 'sport', true],
    ['#', 'sport/tennis', true],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/uptime', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/uptime', true],
    ['fleet/#', 'fleet', true],
    ['fleet/#', 'fleet-chunks/1', false],
    ['fleet', 'Fleet', false],
  ];
  for (const [filter, topic, wanted] of examples) {
    it(`${filter} ${wanted ? 'matches' : 'does not match'} ${topic}`, () => {
      assert.equal(filterMatches(filter, topic), wanted);
    });
  }

  it('a # that is not at the end matches nothing', () => {
    assert.equal(filterMatches('fleet/#/state', 'fleet/robots/state'), false);
  });
});
