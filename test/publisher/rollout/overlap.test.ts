/**
 * A new rollout beside announced ones that overlap: a robot that is offered a release stays offered
 * one.
 */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import { openActiveRollouts } from '../../../publisher/rollout/active-rollouts.ts';
import { fullTarget } from '../../../publisher/rollout/forecast.ts';
import type { LedStatus } from '../../../publisher/rollout/overlap.ts';
import { planAnnouncement } from '../../../publisher/rollout/plan-announcement.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import { archFits, isTargeted } from '../../../shared/rules/rollout-rules.ts';
import { makeFleet, type SignedBundle } from '../../helpers/fleet.ts';
import { assertRefused } from '../../helpers/refusal.ts';

const fleet = makeFleet();
const STAGED = { waves: [{ percent: 1 }, { percent: 100 }] };
const DONE: LedStatus = { status: 'complete', settled: false };

const bundleOf = (version: string, target_arch = 'any', downgrade_from?: string) =>
  fleet.makeBundle({
    version,
    manifest: { target_arch, ...(downgrade_from !== undefined && { downgrade_from }) },
  });

interface Said {
  readonly fields?: Partial<RolloutFields>;
  readonly statuses?: ReadonlyMap<string, LedStatus>;
  readonly supersede?: readonly string[];
  readonly alongside?: boolean;
}

function plan(old: readonly RolloutFields[], bundle: SignedBundle, said: Said = {}) {
  return planAnnouncement({
    now: Date.parse('2026-05-01T00:00:00Z'),
    fleet: 'test',
    lifeMs: 86_400_000,
    previous: openActiveRollouts(fleet.announce(7, old), fleet.trust),
    rollout: fleet.makeRollout('new', bundle, said.fields ?? {}),
    manifest: parseManifest(bundle.manifestBytes),
    statuses: said.statuses ?? new Map(),
    supersede: said.supersede ?? [],
    alongside: said.alongside ?? false,
    robots: null,
  });
}

const hintOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return error instanceof DroverError ? (error.hint ?? '') : '';
  }
  return '';
};

test('a rollout for fewer robots leaves one that is for more to the others', async () => {
  const old = [fleet.makeRollout('all', await bundleOf('1.1.0'), STAGED)];
  const settled: LedStatus = { status: 'rolling', settled: true };
  for (const status of [DONE, settled]) {
    const statuses = new Map([['all', status]]);
    for (const fields of [
      { target: { robots: ['r3'] } },
      { target: { tags: ['lab'] } },
      { target: { arch: 'aarch64' } },
      { target: { robots: ['r3'] }, emergency: true },
    ]) {
      const {
        kept,
        beside,
        superseded,
        fields: next,
      } = plan(old, await bundleOf('1.2.0'), {
        ...{ statuses, fields },
      });
      assert.deepEqual([kept, beside, superseded], [['all'], ['all'], []]);
      assert.equal(next.rollouts[1]?.supersedes, undefined);
    }
    const arch = plan(old, await bundleOf('5.0.0', 'riscv64'), { statuses });
    assert.deepEqual(arch.beside, ['all']);
    assert.deepEqual(plan(old, await bundleOf('1.2.0'), { statuses }).superseded, ['all']);
  }
});

test('one that is for the same robots, or for more, takes its place', async () => {
  const statuses = new Map([['old', DONE]]);
  for (const [before, after] of [
    [{ robots: ['r3'] }, { robots: ['r3', 'r4'] }],
    [{ robots: ['r3'], tags: ['lab'] }, { tags: ['lab'] }],
    [{ tags: ['lab', 'hall'] }, { tags: ['hall'] }],
    [{ arch: 'arm64' }, { arch: 'aarch64' }],
    [{ arch: 'x86_64' }, {}],
  ]) {
    const target = before ?? {};
    const old = [fleet.makeRollout('old', await bundleOf('1.1.0'), { target })];
    const said = { statuses, fields: { target: after ?? {} } };
    assert.deepEqual(plan(old, await bundleOf('1.2.0'), said).superseded, ['old']);
  }
});

test('one that still rolls is in the way of a narrower one; the hint names both ways out', async () => {
  const old = [fleet.makeRollout('all', await bundleOf('1.1.0'), STAGED)];
  const statuses = new Map<string, LedStatus>([['all', { status: 'rolling', settled: false }]]);
  const said = { statuses, fields: { target: { robots: ['r3'] } } };
  const next = await bundleOf('1.2.0');
  assertRefused('ROLLOUT_OVERLAP', () => plan(old, next, said), /all.*it is rolling/);
  const hint = hintOf(() => plan(old, next, said));
  assert.match(hint, /--alongside.*end it for all with --supersede all/);
  assert.deepEqual(plan(old, next, { ...said, alongside: true }).kept, ['all']);
  assert.deepEqual(plan(old, next, { ...said, supersede: ['all'] }).superseded, ['all']);
});

test('a way down for fewer robots is refused: they would go up again', async () => {
  const old = [fleet.makeRollout('all', await bundleOf('2.0.0'))];
  const down = await bundleOf('1.9.1', 'any', '2.0.0');
  const said = { fields: { target: { robots: ['r3'] } } };
  assertRefused('ROLLOUT_OVERLAP', () => plan(old, down, said), /keep or take the higher 2\.0\.0/);
  assert.deepEqual(plan(old, down).superseded, ['all']);
  // Unless a release key signed the way down, robots on 2.0.0 refuse it, whatever is ended.
  const older = await bundleOf('1.9.1');
  assert.match(
    hintOf(() => plan(old, older)),
    /--downgrade-from 2\.0\.0/,
  );
  assert.doesNotMatch(
    hintOf(() => plan(old, older)),
    /--supersede|--alongside/,
  );
});

test('an emergency ends what it covers in any state, and is no cure below what goes on', async () => {
  const old = [fleet.makeRollout('all', await bundleOf('1.5.0'), STAGED)];
  const some = { emergency: true, target: { robots: ['r3'] } };
  const rolling = new Map<string, LedStatus>([['all', { status: 'rolling', settled: false }]]);
  const halted = new Map<string, LedStatus>([['all', { status: 'halted', settled: false }]]);
  const lower = await bundleOf('1.4.1');
  assertRefused(
    'ROLLOUT_OVERLAP',
    () => plan(old, lower, { fields: some, statuses: rolling }),
    /higher 1\.5\.0/,
  );
  assert.deepEqual(plan(old, lower, { fields: some, statuses: halted }).superseded, ['all']);
  const higher = await bundleOf('1.5.1');
  assert.deepEqual(plan(old, higher, { fields: some, statuses: rolling }).beside, ['all']);
});

const IDS = ['r1', 'r2', 'r3'];
const TAGS = ['lab', 'hall'];
const ARCHES = ['x86_64', 'aarch64'];
const subset = (of: string[]) => fc.subarray(of);
const targets = fc.record(
  { robots: subset(IDS), tags: subset(TAGS), arch: fc.constantFrom(...ARCHES, 'amd64') },
  { requiredKeys: [] },
);
const statusesOf = fc.constantFrom<LedStatus | null>(
  ...[null, DONE, { status: 'rolling' as const, settled: true }],
  { status: 'rolling', settled: false },
  { status: 'paused', settled: false },
);
const rollouts = fc.record({
  target: targets,
  arch: fc.constantFrom('any', ...ARCHES),
  version: fc.constantFrom('1.0.0', '1.1.0', '1.2.0'),
  led: statusesOf,
});
const WORLD = IDS.flatMap((robot) =>
  ARCHES.flatMap((arch) =>
    [[], ['lab'], ['hall'], TAGS].map((tags) => ({ robot: robot as RobotId, arch, tags })),
  ),
);

test('no robot that was offered something is offered nothing, unless a person named its rollout', async () => {
  const bundles = new Map<string, SignedBundle>();
  for (const version of ['1.0.0', '1.1.0', '1.2.0']) {
    for (const arch of ['any', ...ARCHES]) {
      bundles.set(`${version} ${arch}`, await bundleOf(version, arch));
    }
  }
  const bundle = (version: string, arch: string): SignedBundle => {
    const found = bundles.get(`${version} ${arch}`);
    assert.ok(found);
    return found;
  };
  const archOf = ({ manifest }: RolloutFields): string =>
    parseManifest(new Uint8Array(Buffer.from(manifest, 'base64'))).target_arch;
  const offered = (list: readonly RolloutFields[]) => {
    const offers = list.map((one) => ({ target: fullTarget(one.target), arch: archOf(one) }));
    return WORLD.filter((robot) =>
      offers.some((one) => isTargeted(one, robot) && archFits(one.arch, robot.arch)),
    );
  };
  let planned = 0;
  fc.assert(
    fc.property(
      fc.array(rollouts, { minLength: 1, maxLength: 3 }),
      fc.record({ target: targets, arch: fc.constantFrom('any', ...ARCHES) }),
      fc.boolean(),
      fc.constantFrom('1.1.0', '1.2.0'),
      (olds, { target, arch }, emergency, version) => {
        const old = olds.map((one, at) =>
          fleet.makeRollout(`o${at}`, bundle(one.version, one.arch), { target: one.target }),
        );
        const statuses = new Map(
          olds.flatMap(({ led }, at): [string, LedStatus][] => (led ? [[`o${at}`, led]] : [])),
        );
        try {
          const { fields } = plan(old, bundle(version, arch), {
            ...{ statuses, fields: { target, emergency } },
          });
          planned += 1;
          const after = new Set(offered(fields.rollouts));
          for (const robot of offered(old)) assert.ok(after.has(robot), JSON.stringify(robot));
        } catch (error) {
          if (!(error instanceof DroverError)) throw error;
          assert.ok(['ROLLOUT_OVERLAP', 'VERSION_REUSED'].includes(error.code), error.code);
        }
      },
    ),
    { numRuns: 200 },
  );
  assert.ok(planned > 30, `planned ${planned}`);
});

test('the same bytes for more robots: the hint gives them to the others, and is not that nothing is to be done', async () => {
  const bundle = await bundleOf('1.1.0');
  const some = fleet.makeRollout('some', bundle, { target: { robots: ['r1', 'r2'] } });
  const statuses = new Map([['some', DONE]]);
  const hint = (old: RolloutFields, fields: Partial<RolloutFields>): string =>
    hintOf(() => plan([old], bundle, { statuses, fields }));
  assert.match(hint(some, {}), /give it to the others as well, replace some.*--supersede some/);
  assert.match(hint(some, { target: { robots: ['r2', 'r3'] } }), /to the others as well/);
  assert.match(hint(some, { target: { robots: ['r1'] } }), /^nothing is to be done/);
  const tagged = fleet.makeRollout('some', bundle, { target: { tags: ['hall'] } });
  assert.match(hint(tagged, {}), /to the others as well/);
  assert.match(hint(tagged, { target: { tags: ['hall', 'lab'] } }), /^nothing is to be done/);
});
