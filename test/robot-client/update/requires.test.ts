/** A bundle requires versions of the other components, and they require versions of it. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import {
  neighboursOf,
  offeredBy,
  requiresProblem,
  unmetAtRest,
} from '../../../robot-client/update/requires-check.ts';
import { obeyedRecall } from '../../../robot-client/update/offered.ts';
import { memberViewOf, type MemberViews } from '../../../robot-client/update/set-verdict.ts';
import { freshState, type Job, type MachineState } from '../../../robot-client/update/state.ts';
import type { OtherFacts, Verdict } from '../../../robot-client/update/verdict.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { base64ToBytes } from '../../../shared/crypto/bytes.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import { isInRange, isVersionRange } from '../../../shared/base/version.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const world = makeWorld();
const REQUIRES = { system: '>=2.1 <3' };
const WRITTEN = { requires: REQUIRES, apply_strategy: 'atomic_swap+requires' };
const APP = makeRollout(world, { name: 'app', version: '2.0.0', ...WRITTEN });

const other = (component: string, more: Partial<OtherFacts> = {}): OtherFacts => ({
  ...{ component, version: '1.0.0', payloadSha256: null, blocked: [], joined: null },
  ...more,
});

function judge(
  others: [string, OtherFacts | null][] | null,
  rollouts: readonly RolloutFields[] = [APP],
  component = 'app',
): Verdict {
  const facts = factsOf(world, { component, ...(others && { others: new Map(others) }) });
  return decideOffer(announce(world, [...rollouts]), facts).verdict;
}

const said = (verdict: Verdict): string =>
  'problem' in verdict
    ? `${verdict.kind} ${verdict.problem.code} ${verdict.problem.message}`
    : verdict.kind;

const system = (more: Partial<OtherFacts>): [string, OtherFacts][] => [
  ['system', other('system', more)],
];

function setOf(...parts: RolloutFields[]): RolloutFields[] {
  const members = parts.map((one) => {
    const { name, version, payload_sha256 } = parseManifest(
      base64ToBytes(one.manifest) as Uint8Array,
    );
    return { rollout: one.id, component: name, version, payload_sha256 };
  });
  return parts.map((one) => ({ ...one, set: { id: 's', members } }));
}

describe('a range of versions', () => {
  it('is one as npm writes it, and leaves pre-releases out unless it names one', () => {
    for (const range of ['>=2.1 <3', '^1.4.0', '~1.2', '1.x || 2.x', '1.2.3 - 1.4', '*']) {
      assert.ok(isVersionRange(range), range);
    }
    for (const text of ['', ' >=1', '>=1\n', 'latest', 'v', '1.2.3.4', 'a'.repeat(129)]) {
      assert.ok(!isVersionRange(text), text);
    }
    assert.ok(isInRange('2.1.0', '>=2.1 <3') && isInRange('2.9.9+b', '>=2.1 <3'));
    assert.ok(!isInRange('3.0.0-rc.1', '>=2.1 <3') && !isInRange('2.2.0-rc.1', '>=2.1 <3'));
    assert.ok(isInRange('2.1.0-rc.2', '>=2.1.0-rc.1 <3'));
    assert.ok(!isInRange('1.0.0', 'no range'));
  });
});

describe('a component takes a bundle with requires', () => {
  it('when the other component is in the range [P-3.12]', () => {
    assert.equal(judge(system({ version: '2.4.0' })).kind, 'take');
  });

  it('in a set that brings what is missing', () => {
    const image = makeRollout(world, { name: 'system', version: '2.2.0' }, { id: 'sys' });
    const set = setOf(image, APP);
    assert.equal(judge(system({}), set).kind, 'take');
    assert.equal(judge([['app', other('app')]], set, 'system').kind, 'take');
  });
});

describe('a component refuses a bundle with requires, and says what is missing and what it has', () => {
  const cases: readonly (readonly [string, [string, OtherFacts | null][] | null, RegExp])[] = [
    ['too low', system({ version: '2.0.9' }), /^refuse REQUIRES_UNMET.*>=2\.1 <3 \(got 2\.0\.9\)/],
    ['too high', system({ version: '3.0.0' }), /^refuse REQUIRES_UNMET.*\(got 3\.0\.0\)/],
    ['empty', system({ version: null }), /^refuse REQUIRES_UNMET.*\(got nothing installed\)/],
    ['not there', [], /^refuse REQUIRES_UNMET.*system .*\(got no such component\)/],
    ['unread', [['system', null]], /^refuse REQUIRES_UNKNOWN.*\(got an unknown version\)/],
    ['stuck', system({ version: '2.4.0', phase: 'stuck' }), /^refuse REQUIRES_UNKNOWN/],
    ['in doubt', system({ version: '2.4.0', doubt: 'MODULE_DIFFERS' }), /^refuse REQUIRES_UNKNOWN/],
    ['lost', system({ version: null, doubt: 'RELEASE_LOST' }), /^refuse REQUIRES_UNKNOWN/],
    ['never heard of', null, /^refuse REQUIRES_UNKNOWN/],
  ];
  for (const [what, others, want] of cases) {
    it(`the other component is ${what}`, () => assert.match(said(judge(others)), want));
  }

  it('and waits while the other component is in an update, whatever it runs now', () => {
    for (const version of ['2.4.0', '1.0.0']) {
      assert.match(said(judge(system({ version, phase: 'probation' }))), /^wait REQUIRES_UNKNOWN/);
    }
  });

  it('in a set that brings too little', () => {
    const low = makeRollout(world, { name: 'system', version: '2.0.0' }, { id: 'sys' });
    const set = setOf(low, APP);
    assert.match(said(judge(system({}), set)), /^refuse REQUIRES_UNMET/);
    const others: [string, OtherFacts][] = [['app', other('app')]];
    assert.match(said(judge(others, set, 'system')), /^refuse SET_FAILED.*REQUIRES_UNMET/);
  });
});

describe('an update that would break what another component requires', () => {
  const image = makeRollout(world, { name: 'system', version: '3.0.0' }, { id: 'sys' });
  const app = other('app', { version: '2.0.0', requires: REQUIRES });

  it('is refused, with the name of that component [P-3.12]', () => {
    const verdict = said(judge([['app', app]], [image], 'system'));
    assert.match(verdict, /^refuse REQUIRES_BROKEN.*app 2\.0\.0 requires system >=2\.1 <3/);
    assert.equal(judge([['nav', app]], [APP], 'app').kind, 'refuse');
  });

  it('is taken in a set that replaces that component, and refused in one that keeps it', () => {
    const next = makeRollout(world, {
      ...{ name: 'app', version: '2.1.0', apply_strategy: WRITTEN.apply_strategy },
      requires: { system: '^3' },
    });
    assert.equal(judge([['app', app]], setOf(image, next), 'system').kind, 'take');
    const same = makeRollout(world, { name: 'app', version: '2.0.0', ...WRITTEN });
    const kept = judge([['app', app]], setOf(image, same), 'system');
    assert.match(said(kept), /^refuse REQUIRES_BROKEN/);
  });
});

describe('the states that components have persisted', () => {
  const jobOf = (rollouts: RolloutFields): Job => {
    const found = judge(system({ version: '2.4.0' }), [rollouts]);
    assert.ok(found.kind === 'take');
    return found.job;
  };
  const job = jobOf(APP);
  const idle = (more: Partial<MachineState> = {}): MachineState => ({ ...freshState(), ...more });
  const views = (app: MachineState, systemAt: string | null, mid = false): MemberViews =>
    new Map([
      ['app', memberViewOf(app, { active: '2.0.0', rollback: '1.0.0' })],
      [
        'system',
        memberViewOf(mid ? idle({ phase: 'probation', job }) : idle(), {
          active: systemAt,
          rollback: null,
        }),
      ],
    ]);
  const installed = idle({ installed: job });

  it('say right before a swap whether it still fits', () => {
    const offered = offeredBy('app', job);
    const problem = (found: MemberViews) => requiresProblem(offered, null, neighboursOf(found));
    assert.equal(problem(views(idle(), '2.1.0')), null);
    assert.equal(problem(views(idle(), '2.0.0'))?.code, 'REQUIRES_UNMET');
    assert.equal(problem(views(idle(), '2.1.0', true))?.code, 'REQUIRES_UNKNOWN');
  });

  it('keep what the installed release requires of an update of the other', () => {
    const next = { name: 'system', version: '3.0.0', requires: {} } as never;
    const of = (app: MachineState) =>
      requiresProblem(next, null, neighboursOf(views(app, '2.1.0')));
    assert.equal(of(installed)?.code, 'REQUIRES_BROKEN');
    assert.equal(of(idle({ phase: 'probation', job }))?.code, 'REQUIRES_BROKEN');
    assert.equal(of(idle()), null);
  });

  it('report a release that lacks what it requires after a rollback, and undo nothing', () => {
    const heard = { progress: new Map(), completeSince: new Map() };
    const look = (found: MemberViews) => {
      const on = {
        views: found,
        component: 'app',
        hinder: null,
        staysBehind: null,
        isJoint: false,
      };
      return obeyedRecall(on, heard, NOW);
    };
    const after = look(views(installed, '1.0.0'));
    assert.equal(after.event, null);
    assert.equal(after.stays?.code, 'REQUIRES_UNMET');
    assert.match(
      after.stays.message,
      /run app 2\.0\.0: it requires system >=2\.1 <3 \(got 1\.0\.0\)/,
    );
    assert.equal(look(views(installed, '2.1.0')).stays, null);
    assert.equal(unmetAtRest('app', views(installed, '1.0.0', true)), null);
  });
});
