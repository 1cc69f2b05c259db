/** The rules of a publisher for sets: what ends together, ids, and one plan of several. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endingSets, memberIdFor, planSet } from '../../../publisher/rollout/set-rules.ts';
import { planAnnouncement, planWithdrawal } from '../../../publisher/rollout/plan-announcement.ts';
import type { ActiveRollout } from '../../../publisher/rollout/plan-announcement.ts';
import { plannedRollouts } from '../../../publisher/rollout/active-rollouts.ts';
import { forecastOf } from '../../../publisher/rollout/forecast.ts';
import type { Rollout, RolloutFields } from '../../../shared/formats/announcement.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { base64ToBytes } from '../../../shared/crypto/bytes.ts';
import type { Sha256Hex } from '../../../shared/base/ids.ts';
import { parseManifest } from '../../../shared/formats/manifest.ts';
import { parseRobotState, type RobotState } from '../../../shared/formats/messages.ts';
import { makeFleet } from '../../helpers/fleet.ts';

const fleet = makeFleet();
const NOW = Date.parse('2026-06-01T00:00:00Z');

async function rolloutOf(id: string, name: string, version: string): Promise<RolloutFields> {
  const bundle = await fleet.makeBundle({ version, manifest: { name } });
  return fleet.makeRollout(id, bundle);
}

async function setOf(id: string, version: string): Promise<RolloutFields[]> {
  const names = ['system', 'app'];
  const all = await Promise.all(names.map((name) => rolloutOf(`${id}-${name}`, name, version)));
  const members = all.map((one, at) => ({
    ...{ rollout: one.id, component: names[at] ?? '', version },
    payload_sha256: one.artifacts[0]?.sha256 ?? '',
  }));
  return all.map((one) => ({ ...one, set: { id, members } }));
}

const listOf = (seq: number, rollouts: RolloutFields[]) =>
  plannedRollouts({
    ...{ fleet: 'test', seq, rollouts },
    issued_at: new Date(NOW).toISOString(),
    expires_at: new Date(NOW + 86_400_000).toISOString(),
  });

const planOf = (
  rollouts: readonly ActiveRollout[],
  next: RolloutFields,
  { alongside = false, supersede = [] }: { alongside?: boolean; supersede?: string[] } = {},
) =>
  planAnnouncement({
    ...{ now: NOW, fleet: 'test', lifeMs: 86_400_000, robots: null, supersede, alongside },
    previous: { seq: 5, rollouts },
    statuses: new Map([...rollouts].map(({ rollout }) => [rollout.id, ENDED])),
    rollout: next,
    manifest: parseManifest(base64ToBytes(next.manifest) ?? new Uint8Array()),
  });

const ENDED = { status: 'complete', settled: true } as never;

const refusedWith = (code: string) => (error: unknown) =>
  error instanceof DroverError && error.code === code;

const robot = (names: readonly string[], caps: readonly string[]): RobotState =>
  parseRobotState(
    Buffer.from(
      JSON.stringify({
        ...{ robot_id: 'r1', at: new Date(NOW).toISOString(), arch: 'x86_64', caps },
        components: names.map((name) => ({ name, version: '1.0.0', phase: 'idle' })),
      }),
    ),
  );

describe('a set in the list', () => {
  it('leaves it as a whole when one of its rollouts is replaced', async () => {
    const { rollouts } = listOf(5, await setOf('s1', '1.1.0'));
    const plan = planOf(rollouts, await rolloutOf('alone', 'app', '1.2.0'));
    assert.deepEqual(plan.superseded.toSorted(), ['s1-app', 's1-system']);
    assert.deepEqual(
      plan.fields.rollouts.map(({ id }) => id),
      ['alone'],
    );
  });

  it('is replaced by a later set, planned one rollout after the other', async () => {
    const next = await setOf('s2', '1.2.0');
    let { rollouts } = listOf(5, await setOf('s1', '1.1.0'));
    const superseded: string[] = [];
    for (const one of next) {
      const plan = planOf(rollouts, one);
      superseded.push(...plan.superseded);
      ({ rollouts } = plannedRollouts(plan.fields));
    }
    assert.deepEqual(superseded.toSorted(), ['s1-app', 's1-system']);
    assert.deepEqual(
      rollouts.map(({ rollout }) => rollout.id as string),
      ['s2-system', 's2-app'],
    );
  });

  it('is ended, and withdrawn, by its name', async () => {
    const { rollouts } = listOf(5, await setOf('s1', '1.1.0'));
    const plan = planOf(rollouts, await rolloutOf('nav', 'nav', '1.0.0'), { supersede: ['s1'] });
    assert.deepEqual(plan.superseded.toSorted(), ['s1-app', 's1-system']);
    const statuses = new Map(rollouts.map(({ rollout }) => [rollout.id as string, ENDED]));
    const left = planWithdrawal({
      ...{ id: 's1', now: NOW, fleet: 'test', lifeMs: 1000, statuses },
      previous: { seq: 5, rollouts },
    });
    assert.deepEqual(left.fields.rollouts, []);
  });

  it('is withdrawn as a whole', async () => {
    const { rollouts } = listOf(5, await setOf('s1', '1.1.0'));
    const statuses = new Map(rollouts.map(({ rollout }) => [rollout.id as string, ENDED]));
    const plan = planWithdrawal({
      ...{ id: 's1-app', now: NOW, fleet: 'test', lifeMs: 1000, statuses },
      previous: { seq: 5, rollouts },
    });
    assert.deepEqual([plan.fields.rollouts, plan.superseded.length], [[], 2]);
  });

  it('stays as a whole while older robots need one of its rollouts', () => {
    const set = { id: 's', members: ['a', 'b'].map((rollout) => ({ rollout })) };
    const active = ['a', 'b', 'c'].map((id) => ({ id, ...(id !== 'c' && { set }) })) as Rollout[];
    const found = endingSets(active, new Set(['b', 'c']), new Set(['a']));
    assert.deepEqual([[...found.ending], [...found.stones]], [['c'], ['a', 'b']]);
  });
});

describe('the forecast of a set', () => {
  it('counts a robot that lacks a component as one that takes none', async () => {
    const rollouts = await setOf('s1', '1.1.0');
    const found = forecastOf({ rollouts }, 's1-app', [robot(['app'], ['sets'])], NOW);
    assert.deepEqual(found?.robots.SET_INCOMPLETE, ['r1']);
    assert.deepEqual(found.robots.takes, []);
  });

  it('names robots whose agent knows no sets', async () => {
    const rollouts = await setOf('s1', '1.1.0');
    const both = ['system', 'app'];
    const old = forecastOf({ rollouts }, 's1-app', [robot(both, [])], NOW);
    assert.deepEqual([old?.robots.takes, old?.setUnasked], [['r1'], ['r1']]);
    const now = forecastOf({ rollouts }, 's1-app', [robot(both, ['sets'])], NOW);
    assert.deepEqual([now?.robots.takes, now?.setUnasked], [['r1'], []]);
  });
});

describe('the forecast of a set with a system image', () => {
  it('names robots that do not take one now', async () => {
    const rollouts = (await setOf('s1', '1.1.0')).map((one) => ({
      ...one,
      ...(one.set && { set: { ...one.set, image: 'system' } }),
    }));
    const both = ['system', 'app'];
    const unaskedWith = (caps: readonly string[]): readonly string[] | undefined =>
      forecastOf({ rollouts }, 's1-app', [robot(both, caps)], NOW)?.imageUnasked;
    assert.deepEqual(unaskedWith(['sets']), ['r1']);
    assert.deepEqual(unaskedWith(['sets', 'set_images']), []);
  });
});

describe('the plan of a set', () => {
  const part = (component: string) => ({
    ...{ rolloutId: `s-${component}`, component, version: '1.0.0' },
    payloadSha256: 'a'.repeat(64) as Sha256Hex,
    strategy: 'atomic_swap',
  });

  it('keeps the order in which the bundles were named [P-5.12]', () => {
    const set = planSet('s', [part('system'), part('app')]);
    assert.deepEqual(
      set.members.map((one) => one.component),
      ['system', 'app'],
    );
  });

  it('names its one system image, and refuses a second one, or a module beside it', () => {
    const image = { ...part('system'), strategy: 'slot_image' };
    const board = { ...part('arm'), strategy: 'module/firmware' };
    assert.equal(planSet('s', [image, part('app')]).image, 'system');
    assert.equal(planSet('s', [part('nav'), part('app')]).image, undefined);
    assert.equal(planSet('s', [board, part('app')]).image, undefined);
    const second = { ...part('app'), strategy: 'slot_image' };
    assert.throws(() => planSet('s', [image, second]), refusedWith('SET_MIXED'));
    assert.throws(() => planSet('s', [image, part('app'), board]), refusedWith('SET_MIXED'));
  });

  it('refuses one bundle, two of a component, and ids that are too long', () => {
    assert.throws(() => planSet('s', [part('app')]), refusedWith('USAGE'));
    assert.throws(() => planSet('s', [part('app'), part('app')]), refusedWith('USAGE'));
    assert.throws(() => memberIdFor('s'.repeat(60), 'system'), refusedWith('USAGE'));
    assert.equal(memberIdFor('s', 'system'), 's-system');
  });
});
