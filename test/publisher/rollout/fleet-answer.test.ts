/** The rows of `drover fleet robots --api`, from the answers of a real API. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fleet } from '../../../broker/control/fleet.ts';
import { AnsweredFleet } from '../../../publisher/rollout/fleet-answer.ts';
import { countVersions, packageRequests } from '../../../publisher/rollout/fleet-report.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { startApi } from '../../broker/api.ts';
import { AT, AT_MS, makeState, robotId } from '../../broker/reports.ts';
import { assertRefused } from '../../helpers/refusal.ts';

test('the pages of the API make the rows that retained reports make', async (t) => {
  const fleet = new Fleet();
  const tooOld = { code: 'TOO_OLD', message: 'too old', hint: '', at: AT, version: '2.0.0' };
  fleet.applyState(makeState('r1', { last_error: tooOld }), AT_MS);
  fleet.applyState(makeState('r2', { version: '1.1.0' }, { tags: ['hall'] }), AT_MS);
  fleet.applyState(makeState('r3', { version: '1.1.0' }), AT_MS);
  fleet.applyRelay('site-a', true, [], { code: 'DISK_FULL', message: 'full', hint: 'make room' });
  fleet.applyOnline(robotId('r2'), true, AT_MS, 'site-a');
  fleet.applyOnline(robotId('silent'), true, AT_MS);
  const api = await startApi(t, { fleet });
  const bytesOf = async (path: string) => new Uint8Array(await (await api.get(path)).arrayBuffer());
  const view = new AnsweredFleet();
  view.takeRelays(await bytesOf('/relays'));
  const next = view.takePage(await bytesOf('/robots?limit=2'));
  assert.equal(next, 'r2');
  assert.equal(view.takePage(await bytesOf(`/robots?limit=2&after=${next}`)), null);
  assert.deepEqual(view.invalid, []);
  assert.deepEqual(
    countVersions(view.rows).map(({ version, count, online }) => [version, count, online]),
    [
      ['1.1.0', 2, 1],
      ['1.0.0', 1, 0],
    ],
  );
  assert.deepEqual(
    packageRequests(view.rows).map(({ robot }) => robot.robot_id),
    ['r1'],
  );
  const [, second] = view.rows;
  assert.deepEqual([second?.robot.tags, second?.via], [['hall'], 'site-a']);
  assert.deepEqual(
    [second?.relayProblem?.code, view.relayProblems[0]?.relay],
    ['DISK_FULL', 'site-a'],
  );
});

test('a robot in an answer that cannot be read is counted, and the others are shown', () => {
  const view = new AnsweredFleet();
  const broken = `{"robot_id":"r1","online":true,"last_seen":null,"reported_at":"${AT}","components":[{}]}`;
  view.takePage(utf8(`{"robots":[7,${broken}],"next":null}`));
  assert.deepEqual([view.rows, view.invalid], [[], ['GET /robots', 'r1']]);
  assertRefused('JSON_INVALID', () => view.takePage(utf8('{"robots":{}}')));
});
