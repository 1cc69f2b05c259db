import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RobotId, RolloutId, Sha256Hex } from '../../../shared/base/ids.ts';
import {
  chunkOfFilter,
  chunkTopic,
  filterSweepsChunks,
  LOG_CHECKPOINT_TOPIC,
  LOG_FILTER,
  logEntryTopic,
  parseTopic,
  progressTopic,
  refusalsTopic,
  RELAY_FILTER,
  relayTopic,
  robotFilter,
  robotTopic,
  trustTopic,
  UPDATES_TOPIC,
  type RobotLeaf,
} from '../../../shared/formats/topics.ts';

const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const hash = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((raw) => Buffer.from(raw).toString('hex') as Sha256Hex);
const LEAVES: readonly RobotLeaf[] = ['state', 'online', 'events', 'want', 'logs', 'ask'];

/** MQTT 3.1.1 §4.7, written from the specification: the judge of the functions under test. */
function mqttMatches(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  for (const [at, want] of wanted.entries()) {
    if (want === '#') return at === wanted.length - 1;
    if (at >= levels.length) return false;
    if (want !== '+' && want !== levels[at]) return false;
  }
  return wanted.length === levels.length || wanted.at(levels.length) === '#';
}

test('the judge of these tests knows the examples of the MQTT specification', () => {
  assert.ok(mqttMatches('sport/tennis/player1/#', 'sport/tennis/player1'));
  assert.ok(mqttMatches('sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon'));
  assert.ok(mqttMatches('sport/+', 'sport/'));
  assert.ok(!mqttMatches('sport/+', 'sport'));
  assert.ok(!mqttMatches('sport/+', 'sport/a/b'));
  assert.ok(mqttMatches('+/+', '/finance'));
  assert.ok(!mqttMatches('+', '/finance'));
});

test('every topic that is built is parsed back to what it was built from', () => {
  fc.assert(
    fc.property(id, hash, fc.integer({ min: 1, max: 999_999_999 }), (name, address, version) => {
      assert.deepEqual(parseTopic(chunkTopic(address)), { kind: 'chunk', hash: address });
      const rollout = name as RolloutId;
      assert.deepEqual(parseTopic(progressTopic(rollout)), { kind: 'progress', rollout });
      assert.deepEqual(parseTopic(trustTopic(version)), { kind: 'trust', version });
      assert.deepEqual(parseTopic(logEntryTopic(version)), { kind: 'log-entry', index: version });
      assert.ok(mqttMatches(LOG_FILTER, logEntryTopic(version)));
      assert.deepEqual(parseTopic(refusalsTopic(name)), { kind: 'refusals', client: name });
      assert.deepEqual(parseTopic(relayTopic(name)), { kind: 'relay', relay: name });
      assert.ok(mqttMatches(RELAY_FILTER, relayTopic(name)));
      for (const leaf of LEAVES) {
        const robot = name as RobotId;
        assert.deepEqual(parseTopic(robotTopic(robot, leaf)), { kind: 'robot', robot, leaf });
        assert.ok(mqttMatches(robotFilter(leaf), robotTopic(robot, leaf)));
      }
    }),
  );
  assert.deepEqual(parseTopic(UPDATES_TOPIC), { kind: 'updates' });
  assert.deepEqual(parseTopic(LOG_CHECKPOINT_TOPIC), { kind: 'log-checkpoint' });
  assert.deepEqual(parseTopic(logEntryTopic(0)), { kind: 'log-entry', index: 0 });
  assert.ok(mqttMatches(LOG_FILTER, LOG_CHECKPOINT_TOPIC));
});

const level = fc.oneof(
  fc.constantFrom(
    'fleet',
    'fleet-chunks',
    'robots',
    'rollouts',
    'trust',
    'refusals',
    'updates',
    'relays',
    'log',
    'checkpoint',
  ),
  fc.constantFrom('+', '#', '', 'state', 'online', 'r1', '1', '01', '$share', 'x'),
  fc.constantFrom('ab'.repeat(32), 'AB'.repeat(32), 'ab'.repeat(31)),
  fc.string({ maxLength: 4 }),
);
const levels = fc.array(level, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));

test('any text is one of our topics, spelled in the one way, or null', () => {
  fc.assert(
    fc.property(levels, (text) => {
      const topic = parseTopic(text);
      switch (topic?.kind) {
        case undefined:
          return;
        case 'updates':
          return assert.equal(text, UPDATES_TOPIC);
        case 'chunk':
          return assert.equal(text, chunkTopic(topic.hash));
        case 'progress':
          return assert.equal(text, progressTopic(topic.rollout));
        case 'trust':
          return assert.equal(text, trustTopic(topic.version));
        case 'log-checkpoint':
          return assert.equal(text, LOG_CHECKPOINT_TOPIC);
        case 'log-entry':
          return assert.equal(text, logEntryTopic(topic.index));
        case 'robot':
          return assert.equal(text, robotTopic(topic.robot, topic.leaf));
        case 'relay':
          return assert.equal(text, relayTopic(topic.relay));
        case 'refusals':
          return assert.equal(text, refusalsTopic(topic.client));
      }
    }),
    { numRuns: 5_000 },
  );
});

test('wildcards, empty levels and bad ids are not topics of ours', () => {
  for (const text of [
    'fleet',
    'fleet/',
    'fleet/updates/',
    '/fleet/updates',
    'fleet/robots/+/state',
    'fleet/robots/r1',
    'fleet/robots/r1/state/x',
    'fleet/robots//state',
    'fleet/robots/r.1/state',
    `fleet/robots/${'r'.repeat(65)}/state`,
    'fleet/robots/r1/secrets',
    'fleet/rollouts/a/b',
    'fleet/trust/0',
    'fleet/trust/01',
    'fleet/trust/1e3',
    'fleet/log',
    'fleet/log/00',
    'fleet/log/1234567890',
    'fleet/log/+',
    'fleet/log/checkpoint/',
    'fleet-chunks/#',
    `fleet-chunks/${'AB'.repeat(32)}`,
    `fleet-chunks/${'ab'.repeat(32)}/`,
    '$SYS/x',
    '',
  ]) {
    assert.equal(parseTopic(text), null, text);
  }
});

const SOME_CHUNKS = ['ab', 'cd', '00', 'ff'].map((pair) => pair.repeat(32) as Sha256Hex);

/** MQTT 3.1.1 §4.7.1: a wildcard is a whole level, and `#` the last one. */
const isFilter = (text: string) => /^([^+#/]*|\+)(\/([^+#/]*|\+))*(\/#)?$|^#$/.test(text);

test('a filter reaches chunks by one exact address, or it sweeps, or it reaches none', () => {
  fc.assert(
    fc.property(levels, (filter) => {
      const exact = chunkOfFilter(filter);
      const reached = SOME_CHUNKS.map(chunkTopic).filter((topic) => mqttMatches(filter, topic));
      if (exact !== null) {
        assert.equal(filterSweepsChunks(filter), false);
        assert.ok(reached.every((topic) => topic === chunkTopic(exact)));
      } else if (reached.length > 0) {
        assert.equal(filterSweepsChunks(filter), true, filter);
      } else if (isFilter(filter) && !filter.startsWith('fleet-chunks')) {
        assert.equal(filterSweepsChunks(filter), false, filter);
      }
    }),
    { numRuns: 10_000 },
  );
});

test('the filters that would pull the whole store are all seen', () => {
  const address = 'ab'.repeat(32);
  for (const filter of [
    '#',
    '+/#',
    '+/+',
    '+/+/#',
    `+/${address}`,
    `+/${address}/#`,
    'fleet-chunks',
    'fleet-chunks/#',
    'fleet-chunks/+',
    'fleet-chunks/+/#',
    `fleet-chunks/${address}/#`,
  ]) {
    assert.equal(filterSweepsChunks(filter), true, filter);
    assert.equal(chunkOfFilter(filter), null, filter);
  }
  for (const filter of [
    'fleet/#',
    '+/robots/+/state',
    '+',
    'fleet/+',
    `fleet-chunks/${'ab'.repeat(32)}`,
  ]) {
    assert.equal(filterSweepsChunks(filter), false, filter);
  }
});
