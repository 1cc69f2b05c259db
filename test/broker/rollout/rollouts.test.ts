import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fleet } from '../../../broker/control/fleet.ts';
import { describeRollouts, type RolloutView } from '../../../broker/rollout/views.ts';
import { peekAnnouncement, type RolloutFields } from '../../../shared/formats/announcement.ts';
import { bytesToBase64, utf8 } from '../../../shared/crypto/bytes.ts';
import type { ComponentStateFields } from '../../../shared/formats/messages.ts';
import { peekProgress } from '../../../shared/formats/progress.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { AT, AT_MS, makeState } from '../reports.ts';

const signer = makeFleet();
const bundle = await signer.makeBundle({ version: '2.0.0' });

function describeOne(fleet: Fleet, more: Partial<RolloutFields> = {}): RolloutView {
  const announcement = peekAnnouncement(
    signer.announce(1, [signer.makeRollout('x-1', bundle, more)]),
  );
  const [view, ...others] = describeRollouts({
    announcement,
    progress: new Map(),
    fleet,
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
  it('is empty when nothing is announced', () => {
    const input = { announcement: null, progress: new Map(), fleet: new Fleet(), verified: false };
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
      fleet: new Fleet(),
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
