import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fleet } from '../../../broker/control/fleet.ts';
import { describeRollouts, type RolloutView } from '../../../broker/rollout/views.ts';
import { peekAnnouncement, type RolloutFields } from '../../../shared/formats/announcement.ts';
import { bytesToBase64, utf8 } from '../../../shared/crypto/bytes.ts';
import { type ComponentStateFields, PHASES } from '../../../shared/formats/messages.ts';
import { peekProgress } from '../../../shared/formats/progress.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { AT, AT_MS, makeState } from '../reports.ts';
import { classesInFull } from '../classes-in-full.ts';

const signer = makeFleet();
const bundle = await signer.makeBundle({ version: '2.0.0' });

function describeOne(fleet: Fleet, more: Partial<RolloutFields> = {}): RolloutView {
  const announcement = peekAnnouncement(
    signer.announce(1, [signer.makeRollout('x-1', bundle, more)]),
  );
  const [view, ...others] = describeRollouts({
    announcement,
    progress: new Map(),
    classes: classesInFull(fleet),
    verified: true,
  });
  assert.ok(view);
  assert.deepEqual(others, []);
  return view;
}

function fleetOf(components: Readonly<Record<string, Partial<ComponentStateFields>>>): Fleet {
  const fleet = new Fleet();
  for (const [name, component] of Object.entries(components)) {
    fleet.applyState(makeState(name, component), AT_MS);
  }
  return fleet;
}

describe('the list of rollouts', () => {
  it('has numbers that add up to the robots that it is for, whatever they report', () => {
    const versions = ['1.0.0', '1.9.0', '2.0.0', '3.0.0'] as const;
    const last = fc.record({
      rollout: fc.constantFrom('x-1', 'other'),
      version: fc.constantFrom(...versions),
      outcome: fc.constantFrom('installed', 'rolled_back', 'refused', 'recalled'),
      code: fc.constantFrom('HEALTH_FAILED', 'READY_DEADLINE', 'DISK_FULL', 'NOT_NEWER'),
      ...{ started_at: fc.constant(AT), ended_at: fc.constant(AT) },
      ...{ took_s: fc.constant(1), bytes: fc.constant(1) },
    });
    const code = fc.constantFrom('SLOT_FOLDER', 'TRUST_EXPIRED', 'ANNOUNCEMENT_AHEAD', 'OTHER_ONE');
    const stint = { stint: 1, version: '2.0.0', rollout: 'x-1', run_s: 1 };
    const component = fc.record(
      {
        version: fc.constantFrom(null, ...versions),
        phase: fc.constantFrom(...PHASES),
        rollout: fc.constantFrom('x-1', 'other'),
        highest_version: fc.constantFrom(...versions),
        blocked: fc.subarray([...versions]),
        last_update: last,
        last_error: code.map((one) => ({ code: one, message: 'm', version: null })),
        usage: fc.array(fc.constant(stint), { maxLength: 1 }),
      },
      { requiredKeys: ['version'] },
    );
    const robot = fc.record({ arch: fc.constantFrom('x86_64', 'aarch64'), component });
    fc.assert(
      fc.property(fc.array(robot, { maxLength: 12 }), (robots) => {
        const fleet = new Fleet();
        for (const [at, { arch, component: one }] of robots.entries()) {
          fleet.applyState(makeState(`r${at}`, one, { arch }), AT_MS);
        }
        const { targeted, excluded, ...parts } = describeOne(fleet).robots;
        const { ARCH_WRONG: others = 0, ...out } = excluded;
        const sum = [...Object.values(parts), ...Object.values(out)].reduce((a, b) => a + b, 0);
        assert.deepEqual([sum, targeted], [robots.length - others, robots.length - others]);
      }),
    );
  });

  it('is empty when nothing is announced', () => {
    const classes = classesInFull(new Fleet());
    const input = { announcement: null, progress: new Map(), classes, verified: false };
    assert.deepEqual(describeRollouts(input), []);
  });

  it('says what is rolled out, to whom and how', () => {
    const waves = [{ percent: 10, soak_s: 60 }, { percent: 100 }];
    const view = describeOne(new Fleet(), { waves, target: { tags: ['lab'] } });
    assert.equal(view.id, 'x-1');
    assert.equal(view.component, 'app');
    assert.equal(view.version, '2.0.0');
    assert.deepEqual(view.target, { tags: ['lab'], robots: [] });
    assert.deepEqual(
      view.waves.map((wave) => wave.percent),
      [10, 100],
    );
    assert.equal(view.emergency, false);
    const sos = describeOne(new Fleet(), { waves, emergency: true });
    assert.equal(sos.emergency, true);
    assert.deepEqual(sos.waves, [{ percent: 100, soak_s: 0 }]);
    assert.equal(view.verified, true);
    assert.equal(view.status, 'announced');
    assert.equal(view.error, null);
  });

  it('takes status, wave and reasons from the progress of that rollout', () => {
    const announcement = peekAnnouncement(
      signer.announce(1, [signer.makeRollout('x-1', bundle), signer.makeRollout('x-2', bundle)]),
    );
    const halted = { wave: 1, threshold: 0.1, status: 'halted' as const, reasons: ['2 of 3 fail'] };
    const bytes = signer.progress({ rollout: 'x-2', seq: 3, ...halted });
    const progress = new Map([['x-2', peekProgress(bytes)]]);
    const views = describeRollouts({
      announcement,
      progress,
      classes: classesInFull(new Fleet()),
      verified: false,
    });
    assert.deepEqual(
      views.map(({ id, status, wave, threshold }) => ({ id, status, wave, threshold })),
      [
        { id: 'x-1', status: 'announced', wave: null, threshold: null },
        { id: 'x-2', status: 'halted', wave: 1, threshold: 0.1 },
      ],
    );
    assert.deepEqual(views[1]?.reasons, ['2 of 3 fail']);
    assert.equal(views[0]?.verified, false);
  });

  it('counts each robot once, by what it makes of the version', () => {
    const busy = { phase: 'downloading', rollout: 'x-1', target_version: '2.0.0' } as const;
    const ended = {
      outcome: 'refused' as const,
      ...{ rollout: 'x-1', version: '2.0.0', took_s: 1, bytes: 1 },
      ...{ started_at: AT, ended_at: AT },
    } as const;
    const failure = { code: 'HEALTH_FAILED', message: 'sick', version: '2.0.0' };
    const view = describeOne(
      fleetOf({
        waits: {},
        loads: busy,
        tries: { version: '2.0.0', phase: 'probation', rollout: 'x-1' },
        runs: { version: '2.0.0' },
        failed: { last_update: { ...ended, code: 'HEALTH_FAILED' }, blocked: ['2.0.0'] },
        busy: { last_update: { ...ended, code: 'READY_DEADLINE' }, last_error: failure },
        blocks: { blocked: ['2.0.0'] },
        newer: { version: '3.0.0' },
        elsewhere: { last_error: { ...failure, version: '1.9.0' } },
        again: { ...busy, last_error: failure },
        maps: { name: 'maps', version: '2.0.0' },
      }),
    );
    assert.deepEqual(view.robots, {
      targeted: 10,
      running: 1,
      went_on: 0,
      in_progress: 3,
      failed: 1,
      waiting: 3,
      recalled: 0,
      excluded: { FAILED_BEFORE: 1, NOT_NEWER: 1 },
    });
  });

  it('leaves out robots that the rollout is not for', () => {
    const fleet = new Fleet();
    fleet.applyState(makeState('r1', {}, { tags: ['lab', 'eu'] }), AT_MS);
    fleet.applyState(makeState('r2', {}, { tags: ['lab'] }), AT_MS);
    fleet.applyState(makeState('r3', {}, { tags: ['lab', 'eu'], arch: 'aarch64' }), AT_MS);
    fleet.applyOnline(makeState('r4').robot_id, true, AT_MS);
    const targeted = (target: RolloutFields['target']): number =>
      describeOne(fleet, target === undefined ? {} : { target }).robots.targeted;
    assert.equal(targeted(undefined), 3);
    assert.equal(targeted({ tags: ['lab', 'eu'] }), 2);
    assert.equal(targeted({ tags: ['lab', 'eu'], arch: 'aarch64' }), 1);
    assert.equal(targeted({ robots: ['r2', 'r9'] }), 1);
    assert.equal(targeted({ robots: ['r2'], tags: ['eu'] }), 0);
  });

  it('shows a rollout whose manifest cannot be read, with the reason', () => {
    const manifest = bytesToBase64(utf8('{"version":"2.0.0","version":"3.0.0"}'));
    const view = describeOne(fleetOf({ r1: {} }), { manifest });
    assert.equal(view.id, 'x-1');
    assert.equal(view.version, null);
    assert.equal(view.robots.targeted, 0);
    assert.match(view.error?.code ?? '', /^(?:MANIFEST|JSON)_INVALID$/);
    assert.ok(view.error?.hint);
  });
});
