import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { membersOf, type MemberKind } from '../../../broker/rollout/classify.ts';
import type { RobotRecord } from '../../../broker/control/fleet.ts';
import type { RolloutPlan } from '../../../broker/rollout/record.ts';
import { openAnnouncement } from '../../../shared/formats/announcement.ts';
import type { ComponentStateFields, RobotState } from '../../../shared/formats/messages.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { AT, AT_MS, makeState, robotId } from '../reports.ts';

const fleet = makeFleet();
const bundle = await fleet.makeBundle({ version: '2.0.0' });
const [rollout] = openAnnouncement(
  fleet.announce(1, [fleet.makeRollout('two', bundle)]),
  fleet.trust,
).rollouts;
assert.ok(rollout);
const plan = { rollout, manifest: parseManifest(bundle.manifestBytes) } as RolloutPlan;

function kindOf(component: Partial<ComponentStateFields>, more: Partial<RobotRecord> = {}) {
  const state = makeState('r1', component);
  const record = { robot: robotId('r1'), state, online: true, lastSeenMs: AT_MS, ...more };
  const robots = [record as RobotRecord];
  const [member] = membersOf({ plan, robots, now: AT_MS, watchedSinceMs: AT_MS });
  return member?.kind;
}

const ended = (outcome: 'installed' | 'rolled_back' | 'refused' | 'recalled', code: string) => ({
  last_update: {
    ...{ rollout: 'two', version: '2.0.0', outcome, code, took_s: 1, bytes: 1 },
    ...{ started_at: AT, ended_at: AT },
  },
});

const unable = { code: 'ROLLBACK_FAILED', message: 'no', version: '2.0.0' };

describe('a robot in a rollout', () => {
  const cases: [string, Partial<ComponentStateFields>, MemberKind][] = [
    ['has not begun', {}, 'candidate'],
    ['is at it', { rollout: 'two', phase: 'waiting' }, 'updating'],
    ['runs it because of it', { version: '2.0.0', ...ended('installed', 'OK') }, 'installed'],
    [
      'runs it from a release that lost files',
      {
        ...{ version: '2.0.0', ...ended('installed', 'OK') },
        last_error: { code: 'RELEASE_DAMAGED', message: 'no', version: '2.0.0' },
      },
      'excluded',
    ],
    [
      'runs it, and the release before it lost files',
      {
        ...{ version: '2.0.0', ...ended('installed', 'OK') },
        last_error: { code: 'RELEASE_DAMAGED', message: 'no', version: '1.0.0' },
      },
      'installed',
    ],
    ['went back', ended('rolled_back', 'HEALTH_FAILED'), 'failed'],
    ['could not take it', ended('refused', 'ARCHIVE_CORRUPT'), 'failed'],
    ['has no room: a fault of its own', ended('refused', 'DISK_SPACE_SHORT'), 'excluded'],
    ['has a full disk in mid-update', ended('refused', 'DISK_FULL'), 'excluded'],
    ['has a read-only disk', ended('refused', 'DISK_READ_ONLY'), 'excluded'],
    ['has a broken disk', ended('refused', 'DISK_WRITE_FAILED'), 'excluded'],
    [
      'looks once more whether there is room',
      { ...ended('refused', 'DISK_FULL'), rollout: 'two', phase: 'checking' },
      'excluded',
    ],
    [
      'has room again and is at it',
      { ...ended('refused', 'DISK_FULL'), rollout: 'two', phase: 'downloading' },
      'updating',
    ],
    ['starts neither the new nor the old version', { rollout: 'two', phase: 'stuck' }, 'failed'],
    [
      'could not go back once and tries again',
      { rollout: 'two', phase: 'rolling_back', last_error: unable },
      'failed',
    ],
    ['is going back', { rollout: 'two', phase: 'rolling_back' }, 'updating'],
    ['gave it back', ended('recalled', 'ROLLOUT_RECALLED'), 'recalled'],
    [
      'stayed busy and tries again: that says nothing of the version',
      ended('refused', 'READY_DEADLINE'),
      'candidate',
    ],
    ['is newer already', { version: '3.0.0' }, 'excluded'],
    [
      'runs other bytes under that version',
      { version: '2.0.0', payload_sha256: 'ab'.repeat(32), ...ended('installed', 'OK') },
      'excluded',
    ],
    ['has it blocked', { blocked: ['2.0.0'] }, 'excluded'],
  ];
  for (const [what, component, kind] of cases) {
    it(`that ${what} is ${kind}`, () => assert.equal(kindOf(component), kind));
  }

  it('that takes only what is logged is excluded from what is not, and counts as no failure', () => {
    const caps = { caps: ['requires-log'] };
    const whyOf = (state: RobotState, proof?: string): [MemberKind, string | null] => {
      const logged = { ...rollout, ...(proof !== undefined && { log_proof: proof }) };
      const record = { robot: robotId('r1'), state, online: true, lastSeenMs: AT_MS };
      const robots = [record as RobotRecord];
      const at = { now: AT_MS, watchedSinceMs: AT_MS };
      const [member] = membersOf({ plan: { ...plan, rollout: logged }, robots, ...at });
      assert.ok(member);
      return [member.kind, member.why];
    };
    assert.deepEqual(whyOf(makeState('r1', {}, caps)), ['excluded', 'LOG_PROOF_MISSING']);
    assert.deepEqual(whyOf(makeState('r1', {}, caps), 'p'), ['candidate', null]);
    const told = (code: string, version: string) => ({
      last_error: { code, message: '', version },
    });
    const said = (code: string, version = '2.0.0') =>
      whyOf(makeState('r1', told(code, version), caps), 'p');
    assert.deepEqual(said('LOG_PROOF_INVALID'), ['excluded', 'LOG_PROOF_INVALID']);
    // Of a rollout before this one: this one has a proof.
    assert.deepEqual(said('LOG_PROOF_MISSING'), ['candidate', null]);
    assert.deepEqual(said('LOG_PROOF_INVALID', '1.9.0'), ['candidate', null]);
    assert.deepEqual(whyOf(makeState('r1')), ['candidate', null]);
    const busy = { rollout: 'two', phase: 'downloading' } as const;
    assert.deepEqual(whyOf(makeState('r1', busy, caps)), ['updating', null]);
    assert.equal(kindOf(ended('refused', 'LOG_PROOF_INVALID')), 'candidate');
  });

  it('that lacks what it requires is excluded, by its report or by its word, and is no failure', () => {
    const requires = { system: '>=2.1 <3' };
    const requiring = { ...plan, manifest: { ...plan.manifest, requires } };
    const whyOf = (system: string | null, told: string | null, caps = ['requires']) => {
      const error = told && { last_error: { code: told, message: '', version: '2.0.0' } };
      const state = makeState('r1', { ...error }, { caps });
      const [app] = state.components;
      assert.ok(app);
      const components = [app, { ...makeState('r1').components[0], name: 'system' }];
      const shown = {
        ...state,
        components: components.map((one, at) => (at === 1 ? { ...one, version: system } : one)),
      };
      const record = { robot: robotId('r1'), state: shown, online: true, lastSeenMs: AT_MS };
      const robots = [record as RobotRecord];
      const [member] = membersOf({ plan: requiring, robots, now: AT_MS, watchedSinceMs: AT_MS });
      return [member?.kind, member?.why];
    };
    assert.deepEqual(whyOf('2.1.0', null), ['candidate', null]);
    assert.deepEqual(whyOf('2.0.0', null), ['excluded', 'REQUIRES_UNMET']);
    assert.deepEqual(whyOf(null, null), ['excluded', 'REQUIRES_UNMET']);
    assert.deepEqual(whyOf('2.1.0', null, []), ['excluded', 'MANIFEST_INVALID']);
    assert.deepEqual(whyOf('2.1.0', 'REQUIRES_BROKEN'), ['excluded', 'REQUIRES_BROKEN']);
    assert.deepEqual(whyOf('2.1.0', 'REQUIRES_UNKNOWN'), ['excluded', 'REQUIRES_UNKNOWN']);
    for (const code of ['REQUIRES_UNMET', 'REQUIRES_UNKNOWN', 'REQUIRES_BROKEN']) {
      assert.equal(kindOf(ended('refused', code)), 'candidate', code);
    }
  });

  it('that has been away in mid-update for longer than the gate allows has vanished', () => {
    const lastSeenMs = AT_MS - rollout.gates.vanish_s * 1000 - 1;
    const away = { online: false, lastSeenMs };
    const state = { rollout: 'two', phase: 'swapping' } as const;
    assert.equal(kindOf(state, { online: false }), 'updating');
    const record = { robot: robotId('r1'), state: makeState('r1', state), ...away };
    const robots = [record as RobotRecord];
    const [member] = membersOf({ plan, robots, now: AT_MS, watchedSinceMs: lastSeenMs });
    assert.equal(member?.kind, 'vanished');
  });
});

describe('a component that went back with its set', () => {
  const member = (component: string) => ({
    ...{ rollout: component === 'app' ? 'two' : 'three', component, version: '2.0.0' },
    payload_sha256: plan.manifest.payload_sha256,
  });
  const set = { id: 's', members: [member('motor'), member('app')] };
  const planned = { ...plan, rollout: { ...plan.rollout, set } } as RolloutPlan;

  function kindBeside(code: string, motor: Partial<ComponentStateFields> = {}) {
    const [app] = makeState('r1', ended('rolled_back', 'SET_FAILED')).components;
    const back = ended(code === 'ROLLOUT_RECALLED' ? 'recalled' : 'rolled_back', code);
    const update = { ...back.last_update, rollout: 'three' };
    const [other] = makeState('r1', { name: 'motor', last_update: update, ...motor }).components;
    const state = { ...makeState('r1', {}), components: [app, other] } as RobotState;
    const record = { robot: robotId('r1'), state, online: true, lastSeenMs: AT_MS };
    const facts = { plan: planned, now: AT_MS, watchedSinceMs: AT_MS };
    return membersOf({ ...facts, robots: [record as RobotRecord] })[0]?.kind;
  }

  it('was called back where the other one was, and failed where the other one failed', () => {
    assert.equal(kindBeside('ROLLOUT_RECALLED'), 'recalled');
    assert.equal(kindBeside('HEALTH_FAILED'), 'failed');
  });

  it('was called back as well while the other one is on its way', () => {
    const last_error = { code: 'ROLLOUT_RECALLED', message: 'm', version: '2.0.0' };
    const onItsWay = { phase: 'rolling_back', rollout: 'three', last_error } as const;
    assert.equal(kindBeside('HEALTH_FAILED', onItsWay), 'recalled');
  });

  it('did not fail where the robot cannot follow the system image of its set', () => {
    for (const code of ['SET_IMAGE_UNREADY', 'SET_MIXED']) {
      assert.notEqual(kindOf(ended('refused', code)), 'failed', code);
    }
    assert.equal(kindOf(ended('refused', 'HEALTH_FAILED')), 'failed');
  });

  it('was called back by the report of its robot, whatever the code', () => {
    assert.equal(kindOf(ended('recalled', 'SET_FAILED')), 'recalled');
    assert.equal(kindOf(ended('refused', 'ROLLOUT_RECALLED')), 'recalled');
  });
});
