import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { classify } from '../../../broker/rollout/classify.ts';
import { openLeader } from '../../../publisher/rollout/active-rollouts.ts';
import { leaderLines } from '../../../publisher/rollout/plan-report.ts';
import type { ComponentState } from '../../../shared/formats/messages.ts';
import {
  archNote,
  decideTurn,
  needsController,
  unfitFor,
  type StepRules,
} from '../../../shared/rules/rollout-rules.ts';
import type { RobotId, RolloutId, Sha256Hex } from '../../../shared/base/ids.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { leaseNow } from '../../helpers/sign-now.ts';

const WHOLE: StepRules = { waves: [{ percent: 100 }] };

describe('a rollout needs a controller', () => {
  const cases: [string, StepRules, boolean][] = [
    ['not for one wave that includes everybody', WHOLE, false],
    ['not for an emergency', { waves: [{ percent: 5 }], emergency: true }, false],
    ['for canaries', { ...WHOLE, canaries: { robots: ['r1'] } }, true],
    ['for canaries by tag', { ...WHOLE, canaries: { tags: ['lab'] } }, true],
    ['for an approval', { ...WHOLE, approve_after: [0] }, true],
    ['for a wave of a part', { waves: [{ percent: 50 }] }, true],
    ['for two waves', { waves: [{ percent: 50 }, { percent: 100 }] }, true],
  ];
  for (const [what, rules, wanted] of cases) {
    it(`${what}, for the publisher as for the robot`, () => {
      assert.equal(needsController(rules), wanted);
      const rollout = {
        ...{ id: 'x' as RolloutId, salt: 's', late_spread_s: 0 },
        waves: rules.waves.map(({ percent }) => ({ percent, soak_s: 0 })),
        emergency: rules.emergency ?? false,
        canaries: {
          robots: (rules.canaries?.robots ?? []) as RobotId[],
          tags: rules.canaries?.tags ?? [],
        },
        approve_after: rules.approve_after ?? [],
      };
      const facts = {
        robot: 'r1' as RobotId,
        tags: ['lab'],
        hasJoined: false,
        isAnswered: true,
        now: 1,
      };
      const turn = decideTurn(rollout, {
        ...facts,
        progress: undefined,
        completeSinceMs: undefined,
      });
      assert.equal(turn !== null, wanted);
      const fields = { ...rules } as Parameters<typeof leaderLines>[1];
      assert.equal(leaderLines({ kind: 'none' }, fields).length, wanted ? 1 : 0);
      assert.deepEqual(leaderLines({ kind: 'leads', controller: 'c1' }, fields), []);
    });
  }
});

it('a bundle does not fit a robot for one reason, told by its code', () => {
  const bundle = {
    ...{ version: '1.5.0', target_arch: 'aarch64', min_current_version: '1.2.0' },
    payload_sha256: 'a'.repeat(64) as Sha256Hex,
  };
  const of = (version: string | null, arch = 'aarch64', payloadSha256: string | null = null) =>
    unfitFor(bundle, { arch, running: version === null ? null : { version, payloadSha256 } });
  assert.equal(of(null), null);
  assert.equal(of('1.4.0'), null);
  assert.equal(of('1.5.0'), 'RUNS_IT');
  assert.equal(of('1.5.0', 'aarch64', 'b'.repeat(64)), 'VERSION_REUSED');
  assert.equal(of('2.0.0'), 'NOT_NEWER');
  assert.equal(of('1.1.0'), 'TOO_OLD');
  assert.equal(of('1.4.0', 'x86_64'), 'ARCH_WRONG');
});

it('a robot that refused a version because it fits it not has not failed', () => {
  const ended = { rollout: 'x', version: '1.5.0', outcome: 'refused', started_at: 1, ended_at: 2 };
  const component = (code: string, more: object = {}) =>
    ({
      ...{ name: 'app', version: '1.0.0', phase: 'idle', blocked: [], usage: [], ...more },
      last_update: { ...ended, code, took_s: 1, bytes: 1 },
    }) as unknown as ComponentState;
  const kind = (code: string, more: object = {}) =>
    classify(component(code, more), { rollout: 'x', version: '1.5.0' }).kind;
  for (const code of ['READY_DEADLINE', 'NOT_NEWER', 'TOO_OLD'])
    assert.equal(kind(code), 'candidate');
  assert.equal(kind('FAILED_BEFORE', { blocked: ['1.5.0'] }), 'excluded');
  assert.equal(kind('HEALTH_FAILED'), 'failed');
});

describe('the publisher sees who leads', () => {
  const fleet = makeFleet();
  const now = Date.parse('2026-06-01T00:00:00Z');
  const lease = (agoMs: number) =>
    leaseNow(
      {
        ...{ fleet: fleet.trust.fleet, controller: 'c1', term: 1, beat: 1 },
        issued_at: new Date(now - agoMs).toISOString(),
      },
      [fleet.seeds.rollout],
    );
  const of = (bytes: Uint8Array | null) =>
    openLeader(bytes, fleet.trust, { now, onInvalid: () => undefined });

  it('in the lease, before any rollout has progress', () =>
    assert.equal(of(lease(20_000)).kind, 'leads'));
  it('no more when the lease is old, and says since when', () => {
    const leader = of(lease(3_600_000));
    assert.equal(leader.kind, 'silent');
    const [note = ''] = leaderLines(leader, { waves: [{ percent: 10 }] } as never);
    assert.match(
      note,
      /no rollout controller leads; the last one was heard at 2026-05-31T23:00:00/,
    );
  });
  it('never in one that no key of this fleet signed', () => {
    const fields = { fleet: fleet.trust.fleet, controller: 'c1', term: 1, beat: 1 };
    const bytes = leaseNow({ ...fields, issued_at: new Date(now).toISOString() }, [
      new Uint8Array(32).fill(9),
    ]);
    assert.equal(of(bytes).kind, 'none');
    assert.equal(of(null).kind, 'none');
  });
});

describe('the name of a CPU', () => {
  it('is explained where robots use another one, or none is known', () => {
    assert.equal(archNote('arm64'), 'robots call arm64 aarch64, and take either name');
    assert.match(archNote('amd64') ?? '', /^robots call amd64 x86_64,/);
    assert.match(archNote('arm46') ?? '', /^no robot is known .* arm46 \(they say aarch64, x86_64/);
    for (const usual of ['aarch64', 'x86_64', 'any', 'riscv64'])
      assert.equal(archNote(usual), null);
  });
});
