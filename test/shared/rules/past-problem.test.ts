/** Problems that an earlier update left behind are distinguished from those that matter now. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRobotState, type ComponentState } from '../../../shared/formats/messages.ts';
import { isPastProblem, problemIn } from '../../../shared/rules/worst-component.ts';

const at = (minute: number): string => `2026-06-01T10:0${minute}:00.000Z`;

function component(fields: object): ComponentState {
  const one = { name: 'app', version: '1.0.0', phase: 'idle', ...fields };
  const state = { robot_id: 'r1', at: at(9), arch: 'x', counter_epoch: 'e', components: [one] };
  const [found] = parseRobotState(Buffer.from(JSON.stringify(state))).components;
  assert.ok(found);
  return found;
}

const failed = (code: string, more: object = {}) => ({
  last_error: { code, message: 'm', version: '2.0.0', at: at(1), ...more },
});
const ended = (outcome: string, code: string, rollout = 'old') => ({
  last_update: {
    ...{ rollout, version: '2.0.0', outcome, code, took_s: 1, bytes: 1 },
    ...{ started_at: at(0), ended_at: at(1) },
  },
});

test('a problem is past when the robot went back as asked, runs a higher version or takes another', () => {
  const recalled = { ...failed('ROLLOUT_RECALLED'), ...ended('recalled', 'ROLLOUT_RECALLED') };
  assert.equal(isPastProblem(component(recalled)), true);
  assert.equal(isPastProblem(component({ ...failed('HEALTH_FAILED'), version: '2.1.0' })), true);
  const other = { phase: 'waiting', target_version: '2.1.0', rollout: 'new' };
  assert.equal(isPastProblem(component({ ...failed('HEALTH_FAILED'), ...other })), true);
});

test('a problem of what the robot runs, takes or failed at last is not past', () => {
  const sick = { ...failed('HEALTH_FAILED'), ...ended('rolled_back', 'HEALTH_FAILED') };
  assert.equal(isPastProblem(component(sick)), false);
  const again = { phase: 'downloading', target_version: '2.0.0', rollout: 'old' };
  assert.equal(isPastProblem(component({ ...sick, ...again })), false);
  assert.equal(isPastProblem(component(failed('CLOCK_BEHIND', { version: null }))), false);
});

test('a problem is of a rollout by its version, and by the end of the update before', () => {
  const told = component({ ...failed('HEALTH_FAILED'), ...ended('rolled_back', 'HEALTH_FAILED') });
  assert.equal(problemIn(told, { rollout: 'old', version: '2.0.0' })?.code, 'HEALTH_FAILED');
  assert.equal(problemIn(told, { rollout: 'new', version: '2.1.0' }), null);
  assert.equal(problemIn(told, { rollout: 'new', version: '2.0.0' }), null, 'the same bytes again');
  const later = component({ ...told, ...failed('DISK_FULL', { at: at(2) }), last_update: null });
  assert.equal(problemIn(later, { rollout: 'new', version: '2.0.0' })?.code, 'DISK_FULL');
});
