/** The rollout that the options of `publish` make: waves, canaries, approval, gates. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import yargs from 'yargs';
import { readAudience, withSteps, withWho } from '../../../publisher/commands/audience-options.ts';
import { GATE_NAMES, parseGates } from '../../../publisher/rollout/gate-words.ts';
import { stepFields, stepLines, wavesLine } from '../../../publisher/rollout/plan-report.ts';
import {
  parseWaveNumbers,
  planRollout,
  type Audience,
} from '../../../publisher/rollout/plan-rollout.ts';
import {
  openAnnouncement,
  type Rollout,
  type RolloutFields,
} from '../../../shared/formats/announcement.ts';
import { verifyBundle } from '../../../shared/formats/bundle-signature.ts';
import { gatesSchema } from '../../../shared/formats/gates.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { assertCountsUsers, type LeaseHolder } from '../../../publisher/rollout/active-rollouts.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const fleet = makeFleet();
const bundle = await fleet.makeBundle({ version: '1.4.2' });
const MINUTE = 60_000;

const AUDIENCE: Audience = {
  tags: [],
  robots: [],
  salt: 'test',
  waves: [10, 100],
  soaksMs: [30 * MINUTE],
  emergency: false,
  canaries: { robots: [], tags: [] },
  approveAfter: [],
  approvers: 1,
  publisher: null,
  gates: {},
  lateSpreadMs: null,
  healthTimeoutMs: null,
  minCanaries: 1,
  budget: null,
  start: {},
};

function plan(more: Partial<Audience>): RolloutFields {
  const { manifestBytes, signature, artifact } = bundle;
  const verified = verifyBundle({ manifestBytes, signatures: [signature], trust: fleet.trust });
  const { sha256, size: bytes, chunk_size: chunkBytes, chunk_index: indexHash } = artifact;
  const payload = { sha256, bytes, chunkBytes, indexHash } as Parameters<
    typeof planRollout
  >[2]['payload'];
  return planRollout(
    'x-1',
    verified,
    { payload, deltas: [], attachments: [], logProof: null },
    { ...AUDIENCE, ...more },
  );
}

/** As robots and the controller read it. */
function announced(more: Partial<Audience>): Rollout {
  const [rollout] = openAnnouncement(fleet.announce(1, [plan(more)]), fleet.trust).rollouts;
  assert.ok(rollout);
  return rollout;
}

test('canaries, approval, gates and the late spread are announced as they were given', () => {
  const rollout = announced({
    canaries: { robots: ['r1', 'r2'], tags: ['lab'] },
    approveAfter: [0, 1],
    gates: parseGates(['task_success_min=0.98', 'vanish_s=5m', 'auto_rollback=false']),
    lateSpreadMs: 90_000,
  });
  assert.deepEqual(rollout.canaries, { robots: ['r1', 'r2'], tags: ['lab'] });
  assert.deepEqual(rollout.approve_after, [0, 1]);
  assert.equal(rollout.late_spread_s, 90);
  const usual = gatesSchema.parse({});
  const changed = { task_success_min: 0.98, vanish_s: 300, auto_rollback: false };
  assert.deepEqual(rollout.gates, { ...usual, ...changed });
});

test('without them a rollout has the defaults of the format', () => {
  const rollout = announced({});
  assert.deepEqual(rollout.canaries, { robots: [], tags: [] });
  assert.deepEqual(rollout.approve_after, []);
  assert.deepEqual(rollout.gates, gatesSchema.parse({}));
  assert.equal(rollout.late_spread_s, LIMITS.lateSpreadSecondsDefault);
});

test('one soak is for all waves, a list has one for each, and anything else is usage', () => {
  const soaks = (soaksMs: number[]) => announced({ soaksMs }).waves.map((one) => one.soak_s);
  assert.deepEqual(soaks([10 * MINUTE]), [600, 600]);
  assert.deepEqual(soaks([10 * MINUTE, 0]), [600, 0]);
  assertRefused('USAGE', () => plan({ soaksMs: [1, 2, 3] }), /got 3, want 1 or 2/);
  assertRefused('USAGE', () => plan({ waves: [100], soaksMs: [1, 2] }), /got 2, want 1\)/);
});

test('canaries have a soak of their own, or that of the first wave, and the plan says which', () => {
  const canaries = { robots: ['r1'], tags: [] };
  const read = (soaksMs: number[]) => {
    const rollout = plan({ canaries, soaksMs });
    const { waves, canaries: own } = announced({ canaries, soaksMs });
    const line = stepLines(rollout).find((one) => one.startsWith('canaries'));
    return [own.soak_s, waves.map((one) => one.soak_s), line];
  };
  const first = 'canaries first: r1, soak';
  assert.deepEqual(read([600_000, 60_000, 0]), [600, [60, 0], `${first} 10m`]);
  assert.deepEqual(read([60_000, 0]), [undefined, [60, 0], `${first} 1m as the first wave`]);
  assert.deepEqual(read([60_000]), [undefined, [60, 60], `${first} 1m as the first wave`]);
  assertRefused(
    'USAGE',
    () => plan({ canaries, soaksMs: [1, 2, 3, 4] }),
    /got 4, want 1 or 2, or 3 with the canaries first/,
  );
});

test('an approval that no wave could wait for is refused', () => {
  const refused = (more: Partial<Audience>, words: RegExp) =>
    assertRefused('USAGE', () => plan(more), words);
  refused({ approveAfter: [2] }, /no wave opens after wave 2 \(want 1 to 1/);
  refused({ approveAfter: [0] }, /after wave 0/);
  refused({ approveAfter: [1], waves: [100] }, /has one wave/);
  assert.deepEqual(
    announced({ approveAfter: [0], waves: [100], canaries: { robots: ['r1'], tags: [] } })
      .approve_after,
    [0],
  );
});

test('an emergency has neither canaries nor approval', () => {
  const emergency = { emergency: true };
  assert.equal(announced(emergency).emergency, true);
  const canaries = { robots: ['r1'], tags: [] };
  assertRefused('USAGE', () => plan({ ...emergency, canaries }), /emergency/);
  assertRefused('USAGE', () => plan({ ...emergency, approveAfter: [1] }), /emergency/);
});

test('names and tags that no robot could have are usage', () => {
  assertRefused('USAGE', () => plan({ canaries: { robots: ['a.b'], tags: [] } }), /robot id/);
  assertRefused('USAGE', () => plan({ canaries: { robots: [], tags: ['a b'] } }), /canary-tags/);
  assertRefused('USAGE', () => plan({ lateSpreadMs: 86_401_000 }), /late-spread/);
});

test('numbers of waves are read in any order, each once', () => {
  assert.deepEqual(parseWaveNumbers(['2', '0', '2']), [0, 2]);
  for (const word of ['-1', '1.5', 'one', '1e3']) {
    assertRefused('USAGE', () => parseWaveNumbers([word]), /--approve/);
  }
});

test('a gate that is not there is refused with the names of those that are', () => {
  for (const word of ['crash_max=1', 'constructor=1', '__proto__=1', 'vanish_s', '=1', '']) {
    assertRefused('USAGE', () => parseGates([word]), /apply_success_min, .*auto_rollback\)/);
  }
});

test('each gate takes what its schema takes, and says what it wants of anything else', () => {
  assert.deepEqual(parseGates(['crashes_per_hour_max=null']), { crashes_per_hour_max: null });
  assert.deepEqual(parseGates(['batch_s=600', 'vanish_s=1h']), { batch_s: 600, vanish_s: 3600 });
  const wrong: [string, RegExp][] = [
    ['apply_success_min=1.1', /apply_success_min: .*<=1 .*got "1\.1"/],
    ['apply_success_min=null', /apply_success_min/],
    ['apply_success_min=5m', /apply_success_min: .*expected number/],
    ['apply_success_min=', /apply_success_min/],
    ['auto_rollback=1', /auto_rollback: .*expected boolean/],
    ['vanish_s=soon', /want for example 60s/],
    ['vanish_s=0', /vanish_s/],
    ['vanish_s=1500ms', /vanish_s/],
    ['miss_max=Infinity', /miss_max/],
    ['miss_max=0x1', /miss_max/],
    ['ratio_detected=1.2=3', /ratio_detected/],
  ];
  for (const [word, words] of wrong) assertRefused('USAGE', () => parseGates([word]), words);
  assertRefused('USAGE', () => parseGates(['batch_s=1', 'batch_s=2']), /given twice/);
});

test('a harm that is tolerated cannot be the one to detect', () => {
  assertRefused('USAGE', () => parseGates(['ratio_tolerated=2']), /above ratio_tolerated/);
  assert.deepEqual(parseGates(['ratio_tolerated=2', 'ratio_detected=3']), {
    ratio_tolerated: 2,
    ratio_detected: 3,
  });
});

test('any value of --gate gives a gate or a refusal', () => {
  const name = fc.oneof(fc.constantFrom(...GATE_NAMES), fc.string());
  const value = fc.oneof(fc.double().map(String), fc.string(), fc.constantFrom('null', 'true'));
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 4 }), (pairs) => {
      const words = pairs.map(([one, text]) => `${one}=${text}`);
      let gates;
      try {
        gates = parseGates(words);
      } catch (error) {
        return (error as { code?: string }).code === 'USAGE';
      }
      return gatesSchema.safeParse(gates).success && Object.keys(gates).length === pairs.length;
    }),
    { numRuns: 500 },
  );
});

test('a plan is printed in lines that name only differences from the default', () => {
  assert.equal(wavesLine(plan({})), 'waves 10, 100 percent, soak 30m');
  assert.equal(wavesLine(plan({ soaksMs: [60_000, 0] })), 'waves 10, 100 percent, soak 1m, 0');
  assert.deepEqual(stepLines(plan({})), []);
  const lines = stepLines(
    plan({
      canaries: { robots: ['r1', 'r2'], tags: ['lab', 'west'] },
      approveAfter: [1],
      gates: parseGates(['miss_max=0.2', 'false_halt_max=0.05']),
      lateSpreadMs: 300_000,
    }),
  );
  assert.deepEqual(lines, [
    'canaries first: r1, r2; robots tagged lab and west, soak 30m as the first wave',
    'waits for a person after wave 1: drover rollout approve',
    'gates: miss_max=0.2',
    'later robots start within 5m',
  ]);
  const fields = stepFields(plan({ soaksMs: [60_000, 0] })) as Record<string, unknown>;
  assert.deepEqual(fields['soak_s'], [60, 0]);
  assert.deepEqual(fields['gates'], gatesSchema.parse({}));
});

test('an emergency refuses the waves and soaks that it would pass over in silence', async () => {
  const read = async (line: string): Promise<Audience> => {
    const words = withSteps(withWho(yargs(line === '' ? [] : line.split(' ')))).exitProcess(false);
    return readAudience(await words.parseAsync(), { fleet: 'test', publisher: undefined });
  };
  const usual = await read('');
  assert.deepEqual([usual.waves, usual.soaksMs], [[1, 10, 50, 100], [30 * MINUTE]]);
  for (const fine of ['', ' --waves 100', ' --soak 0', ' --waves 100 --soak 0'])
    assert.equal((await read(`--emergency${fine}`)).emergency, true);
  for (const [line, option] of [
    ['--waves 25,100', /--waves would do nothing/],
    ['--waves 50', /--waves would do nothing/],
    ['--soak 1h', /--soak would do nothing/],
    ['--waves 100 --soak 0,1h', /--soak would do nothing/],
  ] as const) {
    await assert.rejects(read(`--emergency ${line}`), { code: 'USAGE', message: option });
  }
});

test('several approvers want a wave that waits, a user who publishes, and stand in the rollout', () => {
  const two = { approvers: 2, approveAfter: [1] };
  assert.throws(() => plan({ approvers: 2, publisher: 'pub' }), /no wave waits for a person/);
  assert.throws(() => plan(two), /the publisher has no user name/);
  const { approvers, published_by } = plan({ ...two, publisher: 'pub' });
  assert.deepEqual({ approvers, published_by }, { approvers: 2, published_by: 'pub' });
  assert.equal('approvers' in plan({ approveAfter: [1], publisher: 'pub' }), false);
});

test('a rollout for two users is announced only while a controller leads that counts them', () => {
  const rollout = plan({ approvers: 2, approveAfter: [1], publisher: 'pub' });
  const lead = (caps?: string[]): LeaseHolder => ({ kind: 'leads', controller: 'c1', caps });
  assertCountsUsers(lead(['approvers', 'users']), rollout);
  assertCountsUsers({ kind: 'none' }, plan({ approveAfter: [1] }));
  const refused: [LeaseHolder, RegExp][] = [
    [lead(), /c1, which leads, is too old to count users/],
    [lead(['approvers']), /has no --credentials/],
    [{ kind: 'none' }, /no rollout controller has been seen/],
    [{ kind: 'silent', sinceMs: 0 }, /the last one was heard at 1970/],
  ];
  for (const [leader, words] of refused) {
    assert.throws(
      () => assertCountsUsers(leader, rollout),
      (error) => {
        assert.ok(error instanceof DroverError && error.code === 'APPROVERS_UNSUPPORTED');
        assert.match(error.message, words);
        return true;
      },
    );
  }
});
