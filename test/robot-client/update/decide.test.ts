import fc from 'fast-check';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import type { Verdict } from '../../../robot-client/update/verdict.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { base64ToBytes, bytesToBase64, utf8 } from '../../../shared/crypto/bytes.ts';
import type { Progress } from '../../../shared/formats/progress.ts';
import { cohortFraction } from '../../../shared/rules/rollout-rules.ts';
import { parseLogPolicy } from '../../../shared/tlog/policy.ts';
import { makeProof, policyText } from '../../shared/tlog/log-maker.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const world = makeWorld();
const LOGGED = parseLogPolicy(utf8(policyText('quorum none')));

function codeOf(verdict: Verdict): string {
  return 'problem' in verdict ? verdict.problem.code : verdict.kind;
}

function decide(rollouts: Parameters<typeof announce>[1], facts = factsOf(world)) {
  return decideOffer(announce(world, rollouts), facts);
}

function progressOf(rollout: string, more: Partial<Progress>): Map<string, Progress> {
  const progress = {
    fleet: 'acme',
    rollout,
    seq: 1,
    issued_at: NOW,
    expires_at: NOW + 1000,
    wave: 1,
    threshold: 0.5,
    status: 'rolling',
    reasons: [],
    ...more,
  } as Progress;
  return new Map([[rollout, progress]]);
}

describe('decideOffer takes', () => {
  it('a newer version meant for everybody', () => {
    const { verdict } = decide([makeRollout(world, { version: '1.1.0' })]);
    assert.equal(verdict.kind, 'take');
    assert.equal(verdict.kind === 'take' && verdict.job.version, '1.1.0');
  });

  it('the highest version of several that fit', () => {
    const { rollout } = decide(
      ['1.2.0', '1.10.0', '1.3.0'].map((version) => makeRollout(world, { version })),
    );
    assert.equal(rollout, 'app-1-10-0');
  });

  it('any version on a robot that has nothing installed', () => {
    const offer = makeRollout(world, { version: '1.1.0', min_current_version: '1.0.5' });
    assert.equal(decide([offer], factsOf(world, { version: null })).verdict.kind, 'take');
  });

  it('a bundle that names its machine among others', () => {
    const offer = makeRollout(world, { version: '1.1.0', compatible: ['board-4', 'board-3'] });
    const facts = factsOf(world, { compatible: ['series-b', 'board-3'] });
    assert.equal(decide([offer], facts).verdict.kind, 'take');
  });

  it('a stepping stone when the newest asks for more than it runs', () => {
    const newest = makeRollout(world, { version: '2.0.0', min_current_version: '1.5.0' });
    const stone = makeRollout(world, { version: '1.5.0', min_current_version: '1.0.0' });
    const decision = decide([newest, stone]);
    assert.equal(decision.rollout, 'app-1-5-0');
    assert.equal(decision.wantedPackage, null);
  });

  it('an emergency whatever its waves', () => {
    const offer = makeRollout(
      world,
      { version: '1.1.0' },
      { emergency: true, waves: [{ percent: 1 }] },
    );
    assert.equal(decide([offer]).verdict.kind, 'take');
  });
});

describe('decideOffer refuses', () => {
  const cases: readonly (readonly [string, () => Verdict, string])[] = [
    [
      'a bundle whose signature does not fit',
      () =>
        decide([
          makeRollout(world, { version: '1.1.0' }, { signature: bytesToBase64(randomBytes(64)) }),
        ]).verdict,
      'BUNDLE_SIGNATURE_BAD',
    ],
    [
      'a bundle signed by a key of another role',
      () =>
        decide([makeRollout({ ...world, releaseSeed: world.rolloutSeed }, { version: '1.1.0' })])
          .verdict,
      'BUNDLE_KEY_UNKNOWN',
    ],
    [
      'a bundle for another arch',
      () => decide([makeRollout(world, { version: '1.1.0', target_arch: 'x86_64' })]).verdict,
      'ARCH_WRONG',
    ],
    [
      'a bundle for another machine',
      () => {
        const offer = makeRollout(world, { version: '1.1.0', compatible: ['board-4'] });
        return decide([offer], factsOf(world, { compatible: ['board-3'] })).verdict;
      },
      'COMPATIBLE_WRONG',
    ],
    [
      'a bundle for named machines on one without a name',
      () => {
        const offer = makeRollout(world, { version: '1.1.0', compatible: ['board-4'] });
        return decide([offer], factsOf(world, { compatible: [] })).verdict;
      },
      'COMPATIBLE_WRONG',
    ],
    [
      'a version below its own',
      () => decide([makeRollout(world, { version: '0.9.0' })]).verdict,
      'NOT_NEWER',
    ],
    [
      'a bundle that asks for more than it runs',
      () =>
        decide([makeRollout(world, { version: '2.0.0', min_current_version: '1.5.0' })]).verdict,
      'TOO_OLD',
    ],
    [
      'an artifact that is not what the release key signed',
      () => {
        const offer = makeRollout(world, { version: '1.1.0' });
        const [artifact] = offer.artifacts;
        return decide([{ ...offer, artifacts: [{ ...artifact!, sha256: 'a'.repeat(64) }] }])
          .verdict;
      },
      'ANNOUNCEMENT_INVALID',
    ],
    [
      'an artifact of another size than was signed',
      () => decide([makeRollout(world, { version: '1.1.0', payload_size: 999 })]).verdict,
      'ANNOUNCEMENT_INVALID',
    ],
  ];
  for (const [what, run, code] of cases) {
    it(what, () => assert.equal(codeOf(run()), code));
  }

  it('a bundle that failed here before, but not a new bundle of the same version', () => {
    const offer = makeRollout(world, { version: '1.1.0' });
    const payloadSha256 = offer.artifacts[0]!.sha256 as never;
    const blocked = [{ version: '1.1.0', payloadSha256, code: 'HEALTH_DEADLINE' }];
    assert.equal(codeOf(decide([offer], factsOf(world, { blocked })).verdict), 'FAILED_BEFORE');
    const recalled = [{ ...blocked[0]!, code: 'ROLLOUT_RECALLED' }];
    const told = decide([offer], factsOf(world, { blocked: recalled })).verdict;
    assert.match(
      JSON.stringify(told),
      /its rollout was called back on this robot \(ROLLOUT_RECALLED/,
    );
    const other = [{ ...blocked[0]!, payloadSha256: 'b'.repeat(64) as never }];
    assert.equal(decide([offer], factsOf(world, { blocked: other })).verdict.kind, 'take');
  });

  it('a version that a person took back, in the rollout that brought it and in no other', () => {
    const offer = makeRollout(world, { version: '1.1.0' });
    const payloadSha256 = offer.artifacts[0]!.sha256 as never;
    const block = { version: '1.1.0', payloadSha256, code: 'ACTIVE_CHANGED' };
    const inThis = [{ ...block, rollout: offer.id }];
    const { verdict } = decide([offer], factsOf(world, { blocked: inThis }));
    assert.equal(codeOf(verdict), 'FAILED_BEFORE');
    const inOther = [{ ...block, rollout: 'another' as never }];
    assert.equal(decide([offer], factsOf(world, { blocked: inOther })).verdict.kind, 'take');
  });

  it('and asks for a full package when it is too old and nothing else helps', () => {
    const decision = decide([
      makeRollout(world, { version: '2.0.0', min_current_version: '1.5.0' }),
    ]);
    assert.deepEqual(decision.wantedPackage, { version: '2.0.0', minCurrentVersion: '1.5.0' });
  });

  it('nothing aloud when it runs the version already, even beside an older rollout', () => {
    const old = makeRollout(world, { version: '0.9.0' });
    const same = makeRollout(world, { version: '1.0.0' });
    assert.equal(decide([old, same]).verdict.kind, 'runs');
  });

  it('not because of a rollout for another arch, where one for its own is announced', () => {
    const foreign = makeRollout(world, { version: '1.0.1', target_arch: 'x86_64' });
    const own = makeRollout(world, { version: '1.0.0' });
    assert.equal(decide([foreign, own]).verdict.kind, 'runs');
    const older = makeRollout(world, { version: '0.9.0' });
    assert.equal(codeOf(decide([foreign, older]).verdict), 'NOT_NEWER');
  });

  it('and tells what is wrong here before rollouts that are for others', () => {
    const foreign = makeRollout(world, { version: '1.3.0', target_arch: 'x86_64' });
    const older = makeRollout(world, { version: '0.9.0' });
    const bad = makeRollout(world, { version: '1.1.0' });
    const payloadSha256 = bad.artifacts[0]!.sha256 as never;
    const blocked = [{ version: '1.1.0', payloadSha256, code: 'HEALTH_DEADLINE' }];
    const { verdict } = decide([foreign, older, bad], factsOf(world, { blocked }));
    assert.equal(codeOf(verdict), 'FAILED_BEFORE');
  });
});

describe('decideOffer keeps to the target', () => {
  const targets = [
    ['another robot', { robots: ['r2'] }, 'notForUs'],
    ['this robot', { robots: ['r1'] }, 'take'],
    ['a tag it has', { tags: ['beta'] }, 'take'],
    ['one tag it has and one it has not', { tags: ['beta', 'floor3'] }, 'notForUs'],
    ['its arch by another name', { arch: 'arm64' }, 'take'],
    ['another arch', { arch: 'x86_64' }, 'notForUs'],
  ] as const;
  for (const [what, target, kind] of targets) {
    it(`${kind === 'take' ? 'takes' : 'ignores'} a rollout for ${what}`, () => {
      const fields = {
        ...target,
        ...('robots' in target ? { robots: [...target.robots] } : {}),
        ...('tags' in target ? { tags: [...target.tags] } : {}),
      };
      const offer = makeRollout(world, { version: '1.1.0' }, { target: fields as never });
      assert.equal(decide([offer]).verdict.kind, kind);
    });
  }

  it('ignores a bundle of another component', () => {
    assert.equal(
      decide([makeRollout(world, { version: '1.1.0', name: 'firmware' })]).verdict.kind,
      'notForUs',
    );
  });
});

describe('decideOffer keeps to the wave', () => {
  const waves = [{ percent: 1 }, { percent: 100 }];
  const offer = makeRollout(world, { version: '1.1.0' }, { waves });

  it('waits without a controller', () => {
    assert.equal(codeOf(decide([offer]).verdict), 'COHORT_CLOSED');
  });

  it('waits while the rollout is paused, halted or rolling back, even in a single wave', () => {
    const everybody = makeRollout(world, { version: '1.1.0' });
    for (const status of ['paused', 'halted', 'rolling_back'] as const) {
      const progress = progressOf('app-1-1-0', { status, threshold: 1 });
      const facts = factsOf(world, { progress });
      assert.equal(codeOf(decide([offer], facts).verdict), 'ROLLOUT_STOPPED');
      assert.equal(codeOf(decide([everybody], facts).verdict), 'ROLLOUT_STOPPED');
    }
  });

  it('does not believe progress that has expired', () => {
    const progress = progressOf('app-1-1-0', { threshold: 1, expires_at: NOW });
    assert.equal(codeOf(decide([offer], factsOf(world, { progress })).verdict), 'COHORT_CLOSED');
  });

  it('takes part exactly when its fraction is below the threshold', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (id, threshold) => {
          const robot = parseRobotId(id);
          const facts = factsOf(world, { robot, progress: progressOf('app-1-1-0', { threshold }) });
          const isIn = cohortFraction('acme', robot) < threshold;
          assert.equal(decide([offer], facts).verdict.kind, isIn ? 'take' : 'wait');
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('decideOffer and a version that names other bytes', () => {
  const [a, b] = ['aa'.repeat(32), 'bb'.repeat(32)] as const;
  const offered = (version: string, payload: string) =>
    makeRollout(world, { version, payload_sha256: payload });
  const on = (version: string, payloadSha256: string | null) =>
    factsOf(world, { version, payloadSha256 });

  it('runs what has the same bytes, whatever rollout offers it', () => {
    assert.equal(decide([offered('1.0.0', a)], on('1.0.0', a)).verdict.kind, 'runs');
    assert.equal(decide([offered('1.0.0+b', a)], on('1.0.0+a', a)).verdict.kind, 'runs');
  });

  it('refuses other bytes under the version that runs, build metadata or not', () => {
    for (const version of ['1.0.0', '1.0.0+hotfix']) {
      assert.equal(codeOf(decide([offered(version, b)], on('1.0.0', a)).verdict), 'VERSION_REUSED');
    }
  });

  it('believes the version where the payload that runs is not known', () => {
    assert.equal(decide([offered('1.0.0', b)], on('1.0.0', null)).verdict.kind, 'runs');
    const { verdict } = decide([offered('1.0.0+b', b)], on('1.0.0+a', null));
    assert.equal(codeOf(verdict), 'VERSION_REUSED');
  });

  it('takes a higher version whatever its bytes', () => {
    assert.equal(decide([offered('1.0.1', b)], on('1.0.0', a)).verdict.kind, 'take');
  });
});

describe('a robot that takes only what is logged', () => {
  const facts = factsOf(world, { logPolicy: LOGGED });
  const offer = makeRollout(world, { version: '1.1.0' });
  const manifestBytes = base64ToBytes(offer.manifest) ?? utf8('');
  const codes = (log_proof?: string): string =>
    codeOf(decide([{ ...offer, ...(log_proof !== undefined && { log_proof }) }], facts).verdict);

  it('takes what its log holds, and says of the rest what is wrong with it', async () => {
    const proof = await makeProof([utf8('{}'), manifestBytes], 1);
    assert.equal(codes(proof), 'take');
    assert.equal(codes(), 'LOG_PROOF_MISSING');
    assert.equal(codes(proof.replace('index 1', 'index 0')), 'LOG_PROOF_INVALID');
    assert.equal(codes(await makeProof([utf8('{}')], 0)), 'LOG_PROOF_INVALID');
  });

  it('asks for no proof of what it would not take anyway, and tells before its turn comes', () => {
    assert.equal(
      codeOf(decide([makeRollout(world, { version: '0.9.0' })], facts).verdict),
      'NOT_NEWER',
    );
    const waves = { waves: [{ percent: 1, soak_s: 0 }, { percent: 100 }] };
    const staged = makeRollout(world, { version: '1.1.0' }, waves);
    assert.equal(codeOf(decide([staged], facts).verdict), 'LOG_PROOF_MISSING');
    const far = makeRollout(world, { version: '9.0.0', min_current_version: '8.0.0' });
    const { verdict, wantedPackage } = decide([far], facts);
    assert.deepEqual([codeOf(verdict), wantedPackage], ['LOG_PROOF_MISSING', null]);
  });

  it('is the only one that asks: others take it without, with, and with a broken one [P-5.11]', () => {
    for (const log_proof of ['', 'junk']) {
      assert.equal(decide([{ ...offer, log_proof }]).verdict.kind, 'take');
    }
  });
});
