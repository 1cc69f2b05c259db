import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Speakers, voiceFor, type SpokenBy } from '../../../broker/control/speakers.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const R1 = parseRobotId('r1');

const user = (role: 'robot' | 'relay' | 'publisher'): SpokenBy => ({
  ...{ key: {}, clientId: 'c' },
  identity: { kind: 'user', username: 'u', role, robot: role === 'robot' ? R1 : null },
});
const anyone = (clientId: string): SpokenBy => ({
  ...{ key: {}, clientId, identity: { kind: 'anyone' } },
});

test('a robot speaks for itself, a relay for others, and the sender behind a bridge is unknown', () => {
  const voices = [user('robot'), user('relay'), user('publisher')].map((one) => voiceFor(one, R1));
  assert.deepEqual(voices, ['own', 'relay', 'unknown']);
  const nameless = ['robot-r1', 'relay-0a', 'robot-r2', 'bridge'].map(anyone);
  const heard = nameless.map((one) => voiceFor(one, R1));
  assert.deepEqual(heard, ['own', 'relay', 'unknown', 'unknown']);
});

test('a robot is gone with the connection that said last that it is there', () => {
  const speakers = new Speakers();
  const [first, second] = [user('robot'), user('robot')];
  speakers.said(R1, true, first);
  speakers.said(R1, true, second);
  assert.equal(speakers.leave(first.key), null, 'it is back by another');
  assert.equal(speakers.leave(second.key), R1);
  assert.equal(speakers.isLast(R1, second.key), true);
  speakers.said(R1, false, second);
  assert.equal(speakers.isLast(R1, second.key), false, 'its will has said so meanwhile');
  speakers.said(R1, true, user('relay'));
  assert.equal(speakers.leave(second.key), null);
});

test('a connection that has ended reports no robot as online', () => {
  const speakers = new Speakers();
  const robot = user('robot');
  speakers.leave(robot.key);
  for (const by of [robot, null]) {
    assertRefused('ACCESS_DENIED', () => speakers.said(R1, true, by), /has ended/);
    speakers.said(R1, false, by);
  }
});
