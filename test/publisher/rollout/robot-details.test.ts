/** `fleet robot`: one screen about one robot, the same from retained messages and from the API. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetView } from '../../../publisher/rollout/fleet-report.ts';
import { answeredDetails } from '../../../publisher/rollout/robot-answer.ts';
import { robotLines } from '../../../publisher/rollout/robot-details.ts';
import { retainedDetails } from '../../../publisher/rollout/robot-retained.ts';
import { CATALOGUE } from '../../../shared/base/error-catalogue.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { encodeMessage, type RobotStateFields } from '../../../shared/formats/messages.ts';
import { relayTopic, robotTopic } from '../../../shared/formats/topics.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const NOW = Date.parse('2026-06-01T00:01:00Z');
const AT = '2026-06-01T00:00:00Z';
const ID = 'r1' as RobotId;

const STATE: RobotStateFields = {
  ...{ robot_id: ID, at: AT, agent: '0.1.0', arch: 'aarch64', model: 'amr', tags: ['hall'] },
  trust_version: 2,
  components: [
    {
      ...{ name: 'app', version: '1.0.0', previous_version: '0.9.0', phase: 'idle' },
      ...{ rollout: 'app-1-1', blocked: ['1.1.0'], waiting_for: null, wake_at: null },
      last_error: { code: 'HEALTH_FAILED', message: 'hook \u001B[31msaid no', at: AT },
    },
    { name: 'maps', version: null, phase: 'downloading', target_version: '2.0.0' },
  ],
};

const linesOf = (details: Parameters<typeof robotLines>[0]): string =>
  robotLines(details, NOW).join('\n');

function retained(...messages: readonly (readonly [string, Uint8Array])[]) {
  const view = new FleetView();
  for (const [topic, payload] of messages) view.take(topic, payload);
  return view.get(ID);
}

const shown = (seen: ReturnType<typeof retained>): string => {
  assert.ok(seen);
  const announced = { announcement: { rollouts: [] }, isVerified: true };
  return linesOf(retainedDetails(ID, seen, { announced, now: NOW }));
};

test('a robot is one screen, with the hint of its problem and nothing that a terminal obeys', () => {
  const relay = { code: 'DISK_FULL', message: 'no room', hint: '' };
  const text = shown(
    retained(
      [robotTopic(ID, 'state'), encodeMessage(STATE)],
      [robotTopic(ID, 'online'), encodeMessage({ online: true, via: 'site-7' })],
      [relayTopic('site-7'), encodeMessage({ online: true, problem: relay })],
    ),
  );
  const lines = text.split('\n');
  assert.equal(lines[0], 'robot     r1, online through relay site-7');
  assert.ok(lines.includes('component app 1.0.0, before it 0.9.0: idle'), text);
  assert.ok(lines.includes('component maps not installed: downloading 2.0.0'), text);
  assert.ok(text.includes('hook said no (HEALTH_FAILED)'), text);
  assert.ok(text.includes(`hint: ${CATALOGUE.HEALTH_FAILED.hint.slice(0, 20)}`), text);
  assert.ok(lines.includes('problem   relay: no room (DISK_FULL)'), text);
  assert.ok(lines.includes('  blocked 1.1.0'), text);
  assert.ok(!text.includes('\u001B'));
});

test('a component of another computer has its name, and the folder of the log that stays there', () => {
  const place = { computer: 'perception', log_folder: '/opt/vision/state/logs' };
  const vision = { ...{ name: 'vision', version: '1.0.0', phase: 'idle' as const }, ...place };
  const state = { ...STATE, components: [vision] };
  const kept = shown(retained([robotTopic(ID, 'state'), encodeMessage(state)]));
  const answered = answeredDetails(
    bytes({ ...ANSWER, components: [vision] }),
    bytes({ rollouts: [] }),
  );
  for (const text of [kept, linesOf(answered)]) {
    assert.match(text, /^component vision 1\.0\.0 on computer perception: idle$/m);
    assert.match(text, /^ {2}log +\/opt\/vision\/state\/logs, on computer perception$/m);
  }
});

test('a clock that is off and an id that is used twice are problems of the robot', () => {
  const state = { ...STATE, at: '2026-06-09T00:00:00Z', link_endings: 9 };
  const text = shown(retained([robotTopic(ID, 'state'), encodeMessage(state)]));
  assert.match(text, /ROBOT_ID_TWICE/);
  assert.match(text, /8d ahead of the one here \(ROBOT_CLOCK_OFF\)/);
  assert.match(text, /^reported .*ahead of the clock here$/m);
});

test('a robot that never reported and an unknown one have different answers', () => {
  assert.equal(retained(), null);
  const online = encodeMessage({ online: true });
  assert.match(shown(retained([robotTopic(ID, 'online'), online])), /has not reported/);
});

const ANSWER = {
  ...{ robot_id: ID, online: false, via: null, via_problem: null, clock: null, twins: null },
  ...{ last_seen: AT, reported_at: AT, arch: 'aarch64', model: null, agent: '0.1.0', tags: ['a'] },
  ...{ caps: [], compatible: [], modules: [], trust_version: null, trust_expires_at: null },
  ...{ metrics: {}, name: 'app', version: '1.0.0', phase: 'idle' },
  components: [
    {
      ...{ name: 'app', version: null, previous_version: null, payload_sha256: null },
      ...{ phase: 'idle', rollout: null, target_version: null, transfer: null, delta: null },
      ...{ waiting_for: null, wake_at: null, blocked: [], last_update: null, usage: [] },
      last_error: {
        code: 'NEWER_CODE',
        message: 'no',
        hint: 'do \u009Bit',
        version: null,
        at: null,
      },
    },
  ],
  events: [
    {
      ...{ at: AT, component: 'app', from: 'idle', to: 'checking', event: 'offered' },
      ...{ target_version: '1.1.0', problem: { code: 'TOO_OLD' } },
    },
  ],
};
const rollout = (id: string, tags: string[]) => ({
  ...{ id, component: 'app', version: '1.1.0', status: 'rolling', target: { tags, robots: [] } },
});
const bytes = (value: object): Uint8Array => utf8(JSON.stringify(value));

test('the answer of the API becomes the same screen, with last seen and events', () => {
  const rollouts = { rollouts: [rollout('for-it', ['a']), rollout('for-others', ['b'])] };
  const text = linesOf(answeredDetails(bytes(ANSWER), bytes(rollouts)));
  assert.match(text, /^last seen 2026-06-01T00:00:00Z, 60 s ago$/m);
  assert.match(text, /no \(NEWER_CODE\)\n +hint: do it/);
  assert.match(text, /^rollout {3}for-it: app 1.1.0, rolling$/m);
  assert.ok(!text.includes('for-others'));
  assert.match(
    text,
    /^ {2}2026-06-01T00:00:00Z {2}app 1.1.0: idle -> checking, offered \(TOO_OLD\)$/m,
  );
});

test('an answer without a report, and one that is none', () => {
  const none = { ...ANSWER, reported_at: null, components: [] };
  const text = linesOf(answeredDetails(bytes(none), bytes({ rollouts: [] })));
  assert.match(text, /it has not reported what it runs/);
  assertRefused('JSON_INVALID', () => answeredDetails(bytes({}), bytes({ rollouts: [] })));
});

test('a robot with a long history is shown, and the history is as long as the broker keeps it', () => {
  const step = { component: 'app', from: 'idle', to: 'checking', event: 'announced' };
  const problem = { code: 'HEALTH_FAILED', message: 'm'.repeat(400), hint: 'h'.repeat(400) };
  const events = Array.from({ length: 200 }, () => ({ at: AT, ...step, problem }));
  const [app] = STATE.components;
  const components = [{ ...app, last_error: { ...problem, at: AT } }];
  const answer = { ...STATE, components, online: true, last_seen: AT, reported_at: AT, events };
  assert.ok(JSON.stringify(answer).length > 10 * LIMITS.reportBytesMax);
  const details = answeredDetails(utf8(JSON.stringify(answer)), utf8('{"rollouts":[]}'));
  assert.equal(details.events?.length, 200);
  assert.equal(details.state?.components[0]?.version, '1.0.0');
});
