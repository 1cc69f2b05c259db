/**
 * A rollback of a component that an installed release requires: the answer names the release that
 * stays without it and the number of robots, and each robot reports it afterwards.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { brokenByRollback } from '../../../broker/rollout/broken-requirements.ts';
import { reasonOf } from '../../../broker/rollout/robot-reasons.ts';
import { brokenLines } from '../../../publisher/rollout/consequences.ts';
import { statusLines } from '../../../publisher/rollout/rollout-report.ts';
import { parseRollout } from '../../../publisher/rollout/rollout-answer.ts';
import { Fleet } from '../../../broker/control/fleet.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import type { ComponentStateFields } from '../../../shared/formats/messages.ts';
import { brokenText } from '../../../shared/rules/requires.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { AT, AT_MS, makeState } from '../reports.ts';

const manifest = { name: 'app', apply_strategy: 'atomic_swap+requires', requires: { arm: '^3.2' } };
const bundle = await makeFleet().makeBundle({ version: '3.0.0', manifest });
const app = parseManifest(bundle.manifestBytes);
const plans = [{ manifest: app }];
const ARM = { component: 'arm', rollout: 'arm-320', version: '3.2.0' };
const APP = { component: 'app', rollout: 'app-300', version: '3.0.0' };

const update = (rollout: string, version: string) => ({
  ...{ version, last_update: { rollout, version, outcome: 'installed' } as const },
});

function component(
  { component: name, rollout, version }: typeof ARM,
  previous: string | null,
): ComponentStateFields {
  const took = { started_at: AT, ended_at: AT, took_s: 1, bytes: 1 };
  const { last_update } = update(rollout, version);
  const rest = { name, version, phase: 'idle', previous_version: previous } as const;
  return { ...rest, last_update: { ...last_update, ...took } };
}

/** @param robots what each runs */
function fleetOf(...robots: ComponentStateFields[][]): Fleet {
  const fleet = new Fleet();
  for (const [at, components] of robots.entries()) {
    fleet.applyState(makeState(`r${at}`, {}, { components }), AT_MS);
  }
  return fleet;
}

const both = (previousArm: string | null): ComponentStateFields[] => [
  component(ARM, previousArm),
  component(APP, '2.0.0'),
];

const told = (fleet: Fleet, runs = [ARM]): string[] =>
  brokenByRollback(runs, fleet.robots(), plans).map(brokenText);

it('a rollback names the releases that it leaves without what they require, and counts robots', () => {
  const fleet = fleetOf(both('3.0.0'), both('1.1.0'), [component(ARM, '3.0.0')]);
  assert.deepEqual(told(fleet), [
    'app 3.0.0 stays on 2 robots without arm ^3.2, which it requires',
  ]);
});

it('a robot that goes back into the range, keeps the component or lacks the app is not counted', () => {
  assert.deepEqual(told(fleetOf(both('3.2.0-rc.1'))).length, 1, 'a pre-release is below it');
  assert.deepEqual(told(fleetOf(both('3.3.0'), both(null), [component(ARM, '1.0.0')])), []);
  const old = { ...APP, version: '2.0.0' };
  assert.deepEqual(told(fleetOf([component(ARM, '3.0.0'), component(old, null)])), []);
  const byHand = { ...ARM, rollout: 'another' };
  assert.deepEqual(told(fleetOf([component(byHand, '3.0.0'), component(APP, null)])), []);
});

it('a set that goes back together breaks nothing in itself, and what was broken before is no news', () => {
  assert.deepEqual(told(fleetOf(both('3.0.0')), [ARM, APP]), []);
  const before = [component({ ...ARM, version: '3.1.0' }, '3.0.0'), component(APP, null)];
  assert.deepEqual(told(fleetOf(before), [{ ...ARM, version: '3.1.0' }]), []);
});

it('the question before a rollback reads it, and a broker of 0.1 or a false answer adds nothing', () => {
  const breaks = brokenByRollback([ARM], fleetOf(both('3.0.0')).robots(), plans);
  const answer = (commands: object[]) => utf8(JSON.stringify({ commands }));
  const lines = brokenLines(answer([{ command: 'rollback', breaks }]), 'rollback');
  assert.deepEqual(lines, ['app 3.0.0 stays on 1 robot without arm ^3.2, which it requires']);
  assert.deepEqual(brokenLines(answer([{ command: 'rollback' }]), 'rollback'), []);
  assert.deepEqual(brokenLines(utf8('no JSON'), 'rollback'), []);
});

it('a robot that runs it without what it requires is done, and its reason says what it lacks', () => {
  const message = 'run app 3.0.0: it requires arm ^3.2 (got 3.0.0)';
  const last_error = { code: 'REQUIRES_UNMET', message };
  const [own] = makeState('r0', { ...component(APP, '2.0.0'), last_error }).components;
  assert.ok(own);
  const record = { online: true, lastSeenMs: AT_MS };
  const facts = { rollout: 'app-300', version: '3.0.0', record, wave: 1, isOpen: true };
  const member = { kind: 'installed', why: null, component: own } as const;
  assert.deepEqual(reasonOf(member, { ...facts, relay: null, run: null }), {
    code: 'REQUIRES_UNMET',
    reason: message,
  });
});

it('the status of the application says on how many robots it lacks what it requires', () => {
  const group = { code: 'REQUIRES_UNMET', message: 'it requires arm ^3.2 (got 3.0.0)' };
  const unmet = [{ ...group, fingerprint: 'f', robots: 2, named: ['r1', 'r2'] }];
  const robots = { targeted: 2, running: 2, in_progress: 0, failed: 0, waiting: 0 };
  const view = { id: 'app-300', component: 'app', version: '3.0.0', waves: [], emergency: false };
  const rest = { status: 'complete', wave: 1, threshold: 1, reasons: [], robots, unmet };
  const lines = statusLines(parseRollout(utf8(JSON.stringify({ ...view, ...rest }))), AT_MS);
  assert.ok(
    lines.includes(
      'unmet     2 robots (r1, r2): it requires arm ^3.2 (got 3.0.0) (REQUIRES_UNMET)',
    ),
    lines.join('\n'),
  );
});
