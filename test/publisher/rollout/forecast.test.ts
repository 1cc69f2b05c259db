/** The forecast of `publish`, and the rollouts that it keeps for robots that are too old. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'node:test';
import { openActiveRollouts } from '../../../publisher/rollout/active-rollouts.ts';
import { forecastFields } from '../../../publisher/rollout/forecast-fields.ts';
import { forecastLines, forecastOf, isUseless } from '../../../publisher/rollout/forecast.ts';
import {
  planAnnouncement,
  type AnnouncementPlanInput,
} from '../../../publisher/rollout/plan-announcement.ts';
import { CATALOGUE } from '../../../shared/base/error-catalogue.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { parseManifest, type ManifestFields } from '../../../shared/formats/manifest.ts';
import type { ComponentStateFields, RobotState } from '../../../shared/formats/messages.ts';
import { STANDSTILL_CODES } from '../../../shared/rules/standstill.ts';
import { makeState } from '../../broker/reports.ts';
import { makeFleet } from '../../helpers/fleet.ts';

const fleet = makeFleet();
const NOW = Date.parse('2026-05-01T00:00:00Z');
const bundle = (version: string, min = '0.0.0', more: Partial<ManifestFields> = {}) =>
  fleet.makeBundle({ version, manifest: { min_current_version: min, ...more } });

async function release(id: string, version: string, min = '0.0.0', more = {}) {
  return fleet.makeRollout(id, await bundle(version, min, more));
}

const isStandstill = (one: string): boolean => STANDSTILL_CODES.some((code) => code === one);

const robot = (id: string, version: string | null, more: Partial<ComponentStateFields> = {}) =>
  makeState(id, { version, ...more });

async function plan(
  old: readonly RolloutFields[],
  version: readonly [string, string?],
  more: Partial<AnnouncementPlanInput> = {},
) {
  const next = await bundle(...version);
  return planAnnouncement({
    now: NOW,
    fleet: 'test',
    lifeMs: 1000,
    previous: openActiveRollouts(fleet.announce(7, old), fleet.trust),
    rollout: fleet.makeRollout('new', next),
    manifest: parseManifest(next.manifestBytes),
    statuses: new Map(),
    supersede: [],
    alongside: false,
    robots: null,
    ...more,
  });
}

describe('a forecast', () => {
  it('counts each robot once, with the reason that the robot itself would give', async () => {
    const offer = await release('new', '2.0.0', '1.5.0', { target_arch: 'x86_64' });
    const states = [
      robot('takes', '1.5.0'),
      robot('empty', null),
      robot('newer', '3.0.0'),
      robot('old', '1.0.0'),
      robot('reused', '2.0.0', { payload_sha256: 'ab'.repeat(32) }),
      robot('built-again', '2.0.0+b'),
      robot('runs', '2.0.0'),
      robot('blocked', '1.9.0', { blocked: ['2.0.0'] }),
      makeState('arm', { version: '1.9.0' }, { arch: 'aarch64' }),
      makeState('other', { name: 'nav', version: '1.0.0' }),
    ];
    const found = forecastOf({ rollouts: [offer] }, 'new', states, NOW);
    assert.ok(found);
    const seen = Object.entries(found.robots).filter(([one]) => !isStandstill(one));
    assert.deepEqual(Object.fromEntries(seen), {
      takes: ['empty', 'takes'],
      steps: [],
      runs: ['runs'],
      NOT_NEWER: ['newer'],
      BELOW_HIGHEST: [],
      TOO_OLD: ['old'],
      VERSION_REUSED: ['built-again', 'reused'],
      FAILED_BEFORE: ['blocked'],
      LOG_PROOF_MISSING: [],
      ARCH_WRONG: ['arm'],
      COMPATIBLE_WRONG: [],
      MODULE_MISSING: [],
      BOOT_MISSING: [],
      STRATEGY_CHANGED: [],
      MANIFEST_INVALID: [],
      REQUIRES_UNMET: [],
      REQUIRES_UNKNOWN: [],
      SET_INCOMPLETE: [],
    });
    assert.equal(found.notTargeted, 1);
    assert.equal(isUseless(found), false);
    const lines = forecastLines(found).join('\n');
    assert.match(lines, /1 run something newer \(NOT_NEWER\): newer/);
    assert.match(lines, /it failed there, or was called back \(FAILED_BEFORE\): blocked/);
    assert.match(lines, /FAILED_BEFORE: .*higher version.*drover-robot unblock/);
    assert.match(lines, /1 have another CPU architecture \(ARCH_WRONG\), which is aarch64: arm/);
  });

  it('names the robots that were named and have never reported', async () => {
    const offer = await release('new', '2.0.0', '1.5.0', {});
    const named = {
      ...offer,
      target: { robots: ['r1', 'r2'] },
      canaries: { robots: ['r1', 'rr1', 'rr1'] },
    };
    const of = (states: RobotState[]) => {
      const found = forecastOf({ rollouts: [named] }, 'new', states, NOW);
      assert.ok(found);
      const fields = forecastFields(found) as { unreported?: string[] };
      return { lines: forecastLines(found).join('\n'), told: fields.unreported ?? [] };
    };
    const slipped = of([robot('r1', '1.5.0')]);
    assert.match(slipped.lines, /2 named here have never reported: r2, rr1\n.*robots: canaries/);
    const { canaries: _none, ...plain } = named;
    const told = forecastOf({ rollouts: [plain] }, 'new', [robot('r1', '1.5.0')], NOW);
    assert.ok(told);
    assert.match(forecastLines(told).join('\n'), /never reported: r2\n.*drover fleet robots$/m);
    assert.deepEqual(slipped.told, ['r2', 'rr1']);
    assert.match(of([]).lines, /none has reported yet\n.*3 named here/);
    const all = of(['r1', 'r2', 'rr1'].map((id) => robot(id, '1.5.0')));
    assert.doesNotMatch(all.lines, /never reported/);
    assert.deepEqual(all.told, []);
  });

  it('knows robots whose component another module applied, for plain bundles too', async () => {
    const offer = fleet.makeRollout('new', await bundle('2.0.0', '0.0.0'));
    const of = (id: string, strategy: string | null): RobotState =>
      makeState(id, { version: '1.0.0', strategy });
    const states = [of('plain', 'atomic_swap'), of('by-arm', 'module/arm'), of('unknown', null)];
    const found = forecastOf({ rollouts: [offer] }, 'new', states, NOW);
    assert.deepEqual(found?.robots.takes, ['plain', 'unknown']);
    assert.deepEqual(found.robots.STRATEGY_CHANGED, ['by-arm']);
    assert.match(forecastLines(found).join('\n'), /1 run what another module applied/);
  });

  it('knows what robots have of what it requires, and counts what the set brings', async () => {
    const requires = { system: '>=2.1 <3' };
    const written = { requires, apply_strategy: 'atomic_swap+requires' };
    const offer = fleet.makeRollout('new', await bundle('2.0.0', '0.0.0', written));
    const caps = ['requires', 'sets'];
    const of = (
      id: string,
      system: string | null,
      more: object = { caps },
      told: object = {},
    ): RobotState => {
      const state = makeState(id, { version: '1.0.0' }, more);
      const [app] = state.components;
      assert.ok(app);
      return { ...state, components: [app, { ...app, name: 'system', version: system, ...told }] };
    };
    const states = [
      of('meets', '2.5.0'),
      of('lower', '2.0.9'),
      of('higher', '3.0.0'),
      of('early', '2.2.0-rc.1'),
      of('empty', null),
      of('old-agent', '2.5.0', { caps: ['sets'] }),
      of('stuck', '2.5.0', { caps }, { phase: 'stuck' }),
      of('in-doubt', '2.5.0', { caps }, { version_doubt: 'MODULE_DIFFERS' }),
      makeState('without', { version: '1.0.0' }, { caps }),
    ];
    const alone = forecastOf({ rollouts: [offer] }, 'new', states, NOW);
    assert.ok(alone);
    assert.deepEqual(alone.robots.takes, ['meets']);
    const unmet = ['early', 'empty', 'higher', 'lower', 'without']; // by name, in every case
    assert.deepEqual(alone.robots.REQUIRES_UNMET, unmet);
    assert.deepEqual(alone.robots.MANIFEST_INVALID, ['old-agent']);
    assert.deepEqual(alone.robots.REQUIRES_UNKNOWN, ['in-doubt', 'stuck']);
    const lines = forecastLines(alone).join('\n');
    assert.match(lines, /2 do not know what runs of a component that it requires/);
    assert.match(lines, /5 lack .*, system >=2.1 <3 \(REQUIRES_UNMET\): early, empty/);
    assert.match(lines, /1 have an agent that does not know its requires/);
    assert.match(lines, /REQUIRES_UNMET: .*--together/);
    const system = fleet.makeRollout('sys', await bundle('2.2.0', '0.0.0', { name: 'system' }));
    const hash = 'ab'.repeat(32);
    const members = [
      { rollout: 'sys', component: 'system', version: '2.2.0', payload_sha256: hash },
      { rollout: 'new', component: 'app', version: '2.0.0', payload_sha256: hash },
    ];
    const set = { id: 'set-1', members };
    const rollouts = [system, offer].map((one) => ({ ...one, set }));
    const together = forecastOf({ rollouts }, 'new', states.slice(0, 2), NOW);
    assert.deepEqual(together?.robots.takes, ['lower']);
  });

  it('knows machines and modules, and names robots that do not look at machines', async () => {
    const more = { compatible: ['board-3'], apply_strategy: 'module/arm' };
    const next = await bundle('2.0.0', '0.0.0', more);
    const offer = fleet.makeRollout('new', next);
    const of = (id: string, facts: object) => makeState(id, { version: '1.0.0' }, facts);
    const caps = ['compatible'];
    const states = [
      of('fits', { caps, compatible: ['board-3'], modules: ['arm'] }),
      of('other', { caps, compatible: ['board-4'], modules: ['arm'] }),
      of('nameless', { caps, modules: ['arm'] }),
      of('bare', { caps, compatible: ['board-3'] }),
      of('old', { modules: ['arm'] }),
    ];
    const found = forecastOf({ rollouts: [offer] }, 'new', states, NOW);
    assert.ok(found);
    assert.deepEqual(found.robots.takes, ['fits', 'old']);
    assert.deepEqual(found.robots.COMPATIBLE_WRONG, ['nameless', 'other']);
    assert.deepEqual(found.robots.MODULE_MISSING, ['bare']);
    const lines = forecastLines(found).join('\n');
    assert.match(lines, /1 do not have the module that applies it \(MODULE_MISSING\): bare/);
    assert.match(lines, /1 have an agent that does not look at --compatible: old/);
    assert.deepEqual((forecastFields(found) as { machine_unasked: string[] }).machine_unasked, [
      'old',
    ]);
  });

  it('knows robots that take only what is logged, also for the stones before it', async () => {
    const rollouts = [await release('new', '4.0.0', '3.0.0'), await release('three', '3.0.0')];
    const strict = makeState('strict', { version: '2.0.0' }, { caps: ['requires-log'] });
    const foresee = (logged: readonly string[]) => {
      const offers = rollouts.map((one) =>
        logged.includes(one.id) ? { ...one, log_proof: 'a proof' } : one,
      );
      return forecastOf({ rollouts: offers }, 'new', [strict], NOW);
    };
    const none = foresee([]);
    assert.deepEqual(none?.robots.LOG_PROOF_MISSING, ['strict']);
    assert.ok(none && isUseless(none));
    assert.match(forecastLines(none).join('\n'), /1 take only what is logged.*: strict/);
    assert.deepEqual(foresee(['new'])?.robots.TOO_OLD, ['strict']);
    assert.deepEqual(foresee(['new', 'three'])?.robots.steps, ['strict']);
  });

  it('goes over several stones, and not over one that is announced for others', async () => {
    const rollouts = [
      await release('new', '4.0.0', '3.0.0'),
      await release('three', '3.0.0', '2.0.0'),
      await release('two', '2.0.0', '1.0.0'),
    ];
    const states = [robot('r1', '1.0.0'), robot('r0', '0.9.0')];
    const found = forecastOf({ rollouts }, 'new', states, NOW);
    assert.deepEqual([found?.robots.steps, found?.robots.TOO_OLD], [['r1'], ['r0']]);
    const elsewhere = rollouts.map((one) =>
      one.id === 'two' ? { ...one, target: { robots: ['r9'] } } : one,
    );
    assert.deepEqual(forecastOf({ rollouts: elsewhere }, 'new', states, NOW)?.robots.TOO_OLD, [
      'r0',
      'r1',
    ]);
  });

  it('names robots whose clock is more than a day ahead: what is announced may be over there', async () => {
    const offer = await release('new', '2.0.0', '1.0.0');
    const at = NOW + 5_000 * 86_400_000;
    const states = [
      { ...robot('right', '1.5.0'), at: NOW },
      { ...robot('r2040', '1.5.0'), at },
    ];
    const found = forecastOf({ rollouts: [offer] }, 'new', states, NOW);
    assert.deepEqual(found?.clockAhead, ['r2040']);
    const lines = forecastLines(found).join('\n');
    assert.match(lines, /1 have a clock more than a day ahead.*ROBOT_CLOCK_OFF\): r2040/);
    assert.match(lines, /ROBOT_CLOCK_OFF: set the clock/);
    assert.match(JSON.stringify(forecastFields(found)), /"clock_ahead":\["r2040"\]/);
  });

  it('names robots that take nothing until they are repaired, with the code and a hint', async () => {
    const offer = await release('new', '2.0.0', '1.5.0');
    const told = (code: string, version: string | null = null) => ({
      last_error: { code, message: 'm', hint: 'h', version, at: '2026-05-01T00:00:00Z' },
    });
    const states = [
      robot('folder', null, told('SLOT_FOLDER')),
      robot('trust', '1.5.0', told('TRUST_EXPIRED')),
      robot('split', '1.5.0', told('ROOT_SPLIT', '1.9.0')),
      robot('tried', '1.5.0', told('DISK_FULL', '1.9.0')),
      robot('newer', '3.0.0', told('TRUST_EXPIRED')),
      robot('runs', '2.0.0', told('SLOT_UNREADABLE')),
    ];
    const found = forecastOf({ rollouts: [offer] }, 'new', states, NOW);
    assert.ok(found);
    assert.deepEqual(found.robots.takes, ['tried']);
    assert.deepEqual(found.robots.NOT_NEWER, ['newer']);
    assert.deepEqual(found.robots.runs, ['runs']);
    const lines = forecastLines(found).join('\n');
    for (const [code, name] of [
      ['SLOT_FOLDER', 'folder'],
      ['TRUST_EXPIRED', 'trust'],
      ['ROOT_SPLIT', 'split'],
    ] as const) {
      assert.deepEqual(found.robots[code], [name]);
      const line = `robots: 1 take no update until this is mended (${code}): ${name}`;
      assert.ok(lines.includes(`${line}\n  ${code}: ${CATALOGUE[code].hint}`), lines);
    }
    const fields = forecastFields(found) as Record<string, unknown>;
    assert.deepEqual([fields['SLOT_FOLDER'], 'SLOT_LOOP' in fields], [1, false]);
    const alone = forecastOf({ rollouts: [offer] }, 'new', states.slice(0, 2), NOW);
    assert.equal(alone && isUseless(alone), false, 'they take it once they are mended');
  });

  it('says that a robot too old for it stands still on the way as well', async () => {
    const rollouts = [await release('new', '2.0.0', '1.5.0'), await release('step', '1.5.0')];
    const last_error = { code: 'INTERNAL', message: 'm', hint: 'h', at: '2026-05-01T00:00:00Z' };
    const found = forecastOf({ rollouts }, 'new', [robot('r1', '1.0.0', { last_error })], NOW);
    assert.deepEqual([found?.robots.steps, found?.robots.INTERNAL], [[], ['r1']]);
  });

  it('is useless when no robot that has reported would take it, and open when none has', async () => {
    const rollouts = [await release('new', '1.0.0')];
    const found = forecastOf({ rollouts }, 'new', [robot('r1', '2.0.0')], NOW);
    assert.equal(found && isUseless(found), true);
    const open = forecastOf({ rollouts }, 'new', [], NOW);
    assert.equal(open && isUseless(open), false);
  });
});

describe('the next announcement', () => {
  it('keeps the stone that robots need, and replaces it once none needs it', async () => {
    const old = [await release('two', '2.0.0', '1.3.0')];
    const needed = await plan(old, ['3.0.0', '2.0.0'], { robots: [robot('r1', '1.3.0')] });
    assert.deepEqual([needed.kept, needed.stones, needed.superseded], [['two'], ['two'], []]);
    const passed = await plan(old, ['3.0.0', '2.0.0'], { robots: [robot('r1', '2.0.0')] });
    assert.deepEqual([passed.stones, passed.superseded], [[], ['two']]);
  });

  it('keeps every stone of a chain', async () => {
    const old = [await release('two', '2.0.0', '1.3.0'), await release('three', '3.0.0', '2.0.0')];
    const { stones } = await plan(old, ['4.0.0', '3.0.0'], { robots: [robot('r1', '1.3.0')] });
    assert.deepEqual(stones, ['two', 'three']);
  });

  it('keeps what robots too old for the new one can take, though it does not lead there', async () => {
    const old = [await release('mid', '1.5.0')];
    const { stones } = await plan(old, ['3.0.0', '2.0.0'], { robots: [robot('r1', '1.0.0')] });
    assert.deepEqual(stones, ['mid']);
  });

  it('keeps a stone where no robot is known', async () => {
    const old = [await release('two', '2.0.0', '1.3.0')];
    for (const robots of [null, []]) {
      assert.deepEqual((await plan(old, ['3.0.0', '2.0.0'], { robots })).stones, ['two']);
    }
    assert.deepEqual((await plan(old, ['2.1.0', '1.3.0'])).superseded, ['two']);
  });

  it('withdraws a stone on purpose only', async () => {
    const old = [await release('two', '2.0.0', '1.3.0')];
    const robots = [robot('r1', '1.3.0')];
    const plain = await plan(old, ['3.0.0', '2.0.0'], { robots, supersede: ['two'] });
    assert.deepEqual([plain.stones, plain.superseded], [[], ['two']]);
  });

  it('refuses other bytes under an announced version, whatever it replaces', async () => {
    const old = [await release('one', '1.0.0', '0.0.0', { payload_sha256: 'ab'.repeat(32) })];
    for (const version of ['1.0.0', '1.0.0+hotfix']) {
      for (const more of [{}, { alongside: true }, { supersede: ['one'] }]) {
        await assert.rejects(plan(old, [version], more), { code: 'VERSION_REUSED' });
      }
    }
  });

  it('takes the same bytes again under an id of its own', async () => {
    const old = [await release('one', '1.0.0')];
    assert.deepEqual((await plan(old, ['1.0.0'], { supersede: ['one'] })).superseded, ['one']);
  });

  it('never leaves a robot without the way that it had', async () => {
    const versions = ['1.0.0', '2.0.0', '3.0.0', '4.0.0'];
    const world = fc.record({
      running: fc.array(fc.constantFrom(null, ...versions), { minLength: 1, maxLength: 4 }),
      active: fc.array(
        fc.tuple(fc.constantFrom(...versions), fc.constantFrom('0.0.0', ...versions)),
        {
          maxLength: 3,
        },
      ),
      min: fc.constantFrom('0.0.0', ...versions),
    });
    await fc.assert(
      fc.asyncProperty(world, async ({ running, active, min }) => {
        const old = await Promise.all(
          active.map(([version, least], at) => release(`old-${at}`, version, least)),
        );
        const robots = running.map((version, at) => robot(`r${at}`, version));
        const { fields } = await plan(old, ['5.0.0', min], { robots });
        for (const state of robots) {
          const could = old.some(
            (one) =>
              (forecastOf({ rollouts: old }, one.id, [state], NOW)?.robots.takes.length ?? 0) > 0,
          );
          const can = fields.rollouts.some(
            (one) => (forecastOf(fields, one.id, [state], NOW)?.robots.takes.length ?? 0) > 0,
          );
          assert.ok(can || !could, `${state.components[0]?.version} is left without a way`);
        }
      }),
      { numRuns: 60 },
    );
  });
});
