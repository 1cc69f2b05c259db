/** `fleet` shows the reports of robots, also when some of them are invalid. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test, type TestContext } from 'node:test';
import {
  clockProblems,
  countVersions,
  FleetView,
  formatTable,
  packageRequests,
} from '../../../publisher/rollout/fleet-report.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { connectWire } from '../../../shared/io/mqtt-wire.ts';
import { encodeMessage, type ComponentStateFields } from '../../../shared/formats/messages.ts';
import type { Log } from '../../../shared/base/ports.ts';
import { relayTopic, robotTopic } from '../../../shared/formats/topics.ts';
import { startDrover } from '../../helpers/child.ts';
import { startMosquitto } from '../../helpers/mosquitto.ts';

const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };
const AT = '2026-01-01T00:00:00Z';
const topicOf = (robot: string, leaf: 'state' | 'online') => robotTopic(robot as RobotId, leaf);

function stateOf(
  robot: string,
  version: string | null,
  more: Partial<ComponentStateFields> = {},
  at = AT,
) {
  return encodeMessage({
    robot_id: robot,
    at,
    arch: 'aarch64',
    tags: ['hall'],
    components: [{ name: 'app', version, phase: 'idle', ...more }],
  });
}

const TOO_OLD = {
  last_error: { code: 'TOO_OLD', message: 'too old for 2.0.0', version: '2.0.0', at: AT },
};

function viewOf(messages: Readonly<Record<string, Uint8Array>>): FleetView {
  const view = new FleetView();
  for (const [topic, payload] of Object.entries(messages)) view.take(topic, payload);
  return view;
}

test('a robot behind a relay is online for as long as the relay is [P-8.9]', () => {
  const relay = { online: true, via: 'hall' };
  const view = viewOf({
    [topicOf('r1', 'state')]: stateOf('r1', '1.0.0'),
    [topicOf('r1', 'online')]: encodeMessage(relay),
  });
  const isOnline = (): boolean | undefined => view.rows[0]?.online;
  assert.equal(isOnline(), false, 'that relay is not known');
  view.take(relayTopic('hall'), encodeMessage({ online: true }));
  assert.equal(isOnline(), true);
  for (const gone of [encodeMessage({ online: false }), utf8(''), utf8('{')]) {
    view.take(relayTopic('hall'), gone);
    assert.equal(isOnline(), false);
    view.take(relayTopic('hall'), encodeMessage({ online: true }));
  }
});

test('robots are counted by component and version, the newest first', () => {
  const view = viewOf({
    [topicOf('r1', 'state')]: stateOf('r1', '1.9.0'),
    [topicOf('r2', 'state')]: stateOf('r2', '1.10.0'),
    [topicOf('r3', 'state')]: stateOf('r3', '1.10.0'),
    [topicOf('r4', 'state')]: stateOf('r4', null),
    [topicOf('r3', 'online')]: encodeMessage({ online: true }),
  });
  assert.deepEqual(
    countVersions(view.rows).map(({ version, count, online }) => [version, count, online]),
    [
      ['1.10.0', 2, 1],
      ['1.9.0', 1, 0],
      [null, 1, 0],
    ],
  );
});

test('a robot that was removed is gone, one that reports for another is not believed', () => {
  const view = viewOf({
    [topicOf('r1', 'state')]: stateOf('r1', '1.0.0'),
    [topicOf('r2', 'state')]: stateOf('r1', '6.6.6'),
  });
  assert.deepEqual(
    view.rows.map(({ component }) => component.version),
    ['1.0.0'],
  );
  assert.deepEqual(view.invalid, [topicOf('r2', 'state')]);
  view.take(topicOf('r1', 'state'), new Uint8Array(0));
  assert.deepEqual(view.rows, []);
});

test('no bytes on any topic can stop the listing', () => {
  const view = viewOf({ [topicOf('r1', 'state')]: stateOf('r1', '1.0.0') });
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.constantFrom(topicOf('r2', 'state'), topicOf('r2', 'online'))),
      fc.oneof(fc.uint8Array(), fc.json().map(utf8)),
      (topic, payload) => view.take(topic, payload),
    ),
  );
  assert.equal(view.rows.length, 1);
});

test('requests are the robots that were too old for a bundle', () => {
  const view = viewOf({
    [topicOf('r1', 'state')]: stateOf('r1', '1.0.0', TOO_OLD),
    [topicOf('r2', 'state')]: stateOf('r2', '1.0.0'),
  });
  assert.deepEqual(
    packageRequests(view.rows).map(({ robot }) => robot.robot_id),
    ['r1'],
  );
});

test('a table has its columns under each other', () => {
  assert.deepEqual(
    formatTable([
      ['A', 'LONG'],
      ['wide', 'x'],
      ['b', ''],
    ]),
    ['A     LONG', 'wide  x', 'b'],
  );
});

async function drover(t: TestContext, ...words: string[]): Promise<string> {
  const child = startDrover(t, 'publisher', words);
  assert.equal((await child.exit).code, 0, child.describe());
  return child.stdout;
}

test('the verbs read retained reports from a stock broker', async (t) => {
  const mosquitto = await startMosquitto(t);
  if (!mosquitto) return;
  const broker = ['--broker', mosquitto.url];
  assert.match(await drover(t, 'fleet', 'robots', ...broker), /no robot has reported/);
  const wire = await connectWire(
    { url: mosquitto.url, clientId: 'test' },
    { onMessage() {} },
    QUIET,
  );
  t.after(() => wire.close());
  const send = (topic: string, bytes: Uint8Array) =>
    wire.send(topic, bytes, { retain: true, qos: 1 });
  const now = new Date().toISOString();
  await send(topicOf('r1', 'state'), stateOf('r1', '1.0.0', TOO_OLD, now));
  await send(topicOf('r1', 'online'), encodeMessage({ online: true }));
  await send(
    topicOf('r2', 'state'),
    stateOf('r2', '1.1.0', {
      phase: 'downloading',
      target_version: '1.2.0',
      transfer: { bytes_done: 1, bytes_total: 4 },
    }),
  );
  await send(topicOf('r3', 'state'), utf8('{"robot_id":'));

  const json = JSON.parse(await drover(t, 'fleet', 'versions', ...broker, '--json')) as {
    versions: { robot_id: string; version: string }[];
    invalid: number;
  };
  assert.deepEqual(
    json.versions.map((one) => [one.robot_id, one.version]),
    [
      ['r1', '1.0.0'],
      ['r2', '1.1.0'],
    ],
  );
  assert.equal(json.invalid, 1);
  assert.match(await drover(t, 'fleet', 'versions', ...broker), /^app +1\.1\.0 +1 +0$/m);
  const robots = await drover(t, 'fleet', 'robots', ...broker);
  assert.match(robots, /^r1 +yes +app +1\.0\.0 +idle +TOO_OLD/m);
  assert.match(robots, /^r2 +no +app +1\.1\.0 +downloading 1\.2\.0 25%/m);
  assert.match(await drover(t, 'fleet', 'requests', ...broker), /^r1 +app +1\.0\.0 +2\.0\.0/m);
});

test('a robot whose clock is far off is named, and one that is only away is not', () => {
  const now = Date.parse(AT);
  const days = (count: number): string => new Date(now + count * 86_400_000).toISOString();
  const said = (id: string, at: string, online: object): [string, Uint8Array][] => [
    [topicOf(id, 'state'), stateOf(id, '1.0.0', {}, at)],
    [topicOf(id, 'online'), encodeMessage({ online: true, ...online })],
  ];
  const view = viewOf(
    Object.fromEntries([
      ...said('ahead', days(5_000), { online: false }),
      ...said('away', days(-30), { online: false }),
      ...said('behind', days(-20_000), {}),
      ...said('far', days(-20_000), { via: 'site-a' }),
      ...said('quiet', days(-30), { via: 'site-a' }),
      ...said('right', days(0.5), {}),
      [relayTopic('site-a'), encodeMessage({ online: true })],
    ]),
  );
  const problems = clockProblems(view.rows, now);
  assert.deepEqual(
    problems.map(({ code, message }) => `${code} ${message}`),
    [
      'ROBOT_CLOCK_OFF check the clock of ahead: it is 5000d ahead of the one here',
      'ROBOT_CLOCK_OFF check the clock of behind: it is 20000d behind the one here',
      'ROBOT_CLOCK_OFF check the clock of far: it is 20000d behind the one here',
    ],
  );
});

test('a relay that says what is wrong with it is named with its robots, while it is there', () => {
  const problem = { code: 'DISK_FULL', message: 'no room', hint: 'free some' };
  const view = viewOf({
    [topicOf('r1', 'state')]: stateOf('r1', '1.0.0'),
    [topicOf('r1', 'online')]: encodeMessage({ online: true, via: 'site-a' }),
    [relayTopic('site-a')]: encodeMessage({ online: true, problem }),
  });
  assert.deepEqual(view.rows[0]?.relayProblem, problem);
  assert.deepEqual(view.relayProblems, [{ relay: 'site-a', problem }]);
  view.take(relayTopic('site-a'), encodeMessage({ online: false, problem }));
  assert.equal(view.rows[0]?.relayProblem, null);
  assert.deepEqual(view.relayProblems, []);
});

test('a table fits terminals of 60 and 100 columns, and is whole in a pipe', () => {
  const head = ['ROBOT', 'VERSION', 'DOING', 'WAITS FOR'];
  const row = [
    'amr-0042',
    '1.4.2',
    'downloading 40 % of 2.1 GiB',
    'the robot says not now '.repeat(4),
  ];
  for (const columns of [60, 100]) {
    const lines = formatTable([head, row], columns);
    assert.ok(
      lines.every((line) => line.length <= columns),
      lines.join('|'),
    );
    assert.ok(lines[1]?.startsWith('amr-0042  1.4.2'), 'a robot and its version stay whole');
    assert.match(lines[1] ?? '', /…/);
  }
  assert.ok(formatTable([head, row])[1]?.endsWith(row[3]?.trimEnd() ?? '?'));
});

test('a narrow table drops empty columns and those that it can do without, and cuts no version', () => {
  const head = [
    'ROBOT',
    'ONLINE',
    'COMPONENT',
    'VERSION',
    'LAST ERROR',
    'ARCH',
    'TAGS',
    'WAITS FOR',
  ];
  const error = 'HEALTH_FAILED of 2.4.0-rc.1, 2026-11-30T09:31:02Z';
  const row = ['r1', 'yes', 'application', '12.30.0-rc.11', error, 'x86_64', 'line-2,spare', ''];
  const narrow = { whole: ['ROBOT', 'VERSION'], spare: ['ARCH', 'TAGS', 'ONLINE'] };
  const [heads = '', line = ''] = formatTable([head, row], 60, narrow);
  assert.ok(Math.max(heads.length, line.length) <= 60, `${heads}|${line}`);
  assert.match(line, /12\.30\.0-rc\.11 /);
  assert.doesNotMatch(heads, /WAITS FOR/);
  assert.match(formatTable([head, row], 100, narrow)[0] ?? '', /ONLINE .* ARCH .* TAGS/);
  assert.match(formatTable([head, row])[0] ?? '', /TAGS +WAITS FOR$/);
});

test('no text of a robot in a table steers the terminal', () => {
  const [, line = ''] = formatTable([
    ['ROBOT', 'ARCH'],
    ['r1', 'x86\u001b[2J\u001b]0;owned\u0007\r'],
  ]);
  assert.match(line, /x86\\u\{1b\}\[2J/);
  assert.doesNotMatch(line, /\p{Cc}/u);
});
