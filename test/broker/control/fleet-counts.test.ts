/** Kept counts equal a count of all robots after every event of random histories. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ComponentCount } from '../../../broker/control/fleet-counts.ts';
import { FleetVersions } from '../../../broker/control/fleet-versions.ts';
import { Fleet, mainComponent } from '../../../broker/control/fleet.ts';
import { PHASES } from '../../../shared/formats/messages.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { seedOfRun } from '../../helpers/run-seed.ts';
import { Random } from '../../sim/random.ts';
import { AT, AT_MS, makeState, robotId } from '../reports.ts';

const HISTORIES = 30;
const EVENTS = 200;
const ROBOTS = Array.from({ length: 9 }, (_, at) => robotId(`r${at}`));

const PASSING = ['swapping', 'probation', 'rolling_back'];
const isUnknown = (one: { phase: string; version_doubt?: string | null | undefined }): boolean =>
  one.phase === 'stuck' || (Boolean(one.version_doubt) && !PASSING.includes(one.phase));

const versionOf = (one: ReturnType<typeof mainComponent>): string | null =>
  one ? (isUnknown(one) ? 'unknown' : one.version) : null;

/** The oracle. */
function countInFull(fleet: Fleet): ComponentCount[] {
  const rows = fleet.robots().flatMap(({ state, online }) => {
    const silent = [{ name: null, version: null, phase: 'unknown' }];
    const told = state?.components.map((one) => ({
      ...one,
      version: versionOf(one),
    }));
    return (told ?? silent).map(({ name, version, phase }) => ({
      key: `${name ?? ''} ${version ?? ''} ${phase}`,
      ...{ component: name, version, phase, online },
    }));
  });
  const keys = [...new Set(rows.map(({ key }) => key))].sort();
  return keys.map((key) => {
    const same = rows.filter((one) => one.key === key);
    const { component = null, version = null, phase = '' } = same[0] ?? {};
    const online = same.filter((one) => one.online).length;
    return { component, version, phase, robots: same.length, online };
  });
}

function happen(fleet: Fleet, random: Random, now: number): void {
  const robot = random.pick(ROBOTS);
  const isOn = random.chance(0.6);
  const refused = [
    { rollout: 'x-1', seq: 1, code: 'PROGRESS_REPLAYED', at: AT, message: 'old' },
  ] as const;
  const report = () => {
    const component = {
      version: random.pick(['1.0.0', '2.0.0', null]),
      phase: random.pick(PHASES),
      version_doubt: random.pick([undefined, null, 'MODULE_DIFFERS']),
    };
    const state = makeState(robot, component, { instance: random.pick(['a', 'b']) });
    const progress_refused = random.chance(0.2) ? [...refused] : [];
    const at = now + (random.chance(0.5) ? 0 : LIMITS.aheadMsMax * 2);
    fleet.applyState({ ...state, progress_refused, at }, now);
  };
  const events: readonly (readonly [number, () => unknown])[] = [
    [60, report],
    [15, () => fleet.applyOnline(robot, isOn, now)],
    [10, () => fleet.applyOnline(robot, isOn, now, 'site')],
    [5, () => fleet.applyRelay('site', isOn)],
    [10, () => fleet.forget(robot)],
  ];
  let at = random.between(1, 100);
  const [, run] = events.find(([weight]) => (at -= weight) <= 0) ?? [0, report];
  run();
}

it('lists the version of each robot as a walk over the fleet does, whatever happened meanwhile', async () => {
  const random = new Random(seedOfRun());
  const fleet = new Fleet();
  fleet.applyState(makeState('first', { version: '0.9.0' }), AT_MS);
  const versions = new FleetVersions(fleet);
  for (let event = 0; event < EVENTS; event += 1) {
    happen(fleet, random, AT_MS + event * 1_000);
    if (random.chance(0.5)) continue;
    const listed = JSON.parse(await versions.show({})) as { versions: unknown };
    const walked = fleet.robots().map((record) => ({
      robot_id: record.robot,
      version: versionOf(mainComponent(record)),
    }));
    assert.deepEqual(listed.versions, walked);
  }
  versions.close();
});

it('lists each robot once while robots come in the middle of the answer', async () => {
  const fleet = new Fleet();
  const robots = LIMITS.indexSliceRobots * 2 + 1;
  for (let at = 0; at < robots; at += 1) fleet.applyState(makeState(`r${at}`), AT_MS);
  const versions = new FleetVersions(fleet);
  const asked = versions.show({});
  fleet.applyState(makeState('r0-new'), AT_MS);
  const again = versions.show({});
  const count = async (text: Promise<string>): Promise<number> => {
    const { versions: listed } = JSON.parse(await text) as { versions: { robot_id: string }[] };
    return new Set(listed.map((one) => one.robot_id)).size;
  };
  assert.deepEqual([await count(asked), await count(again)], [robots, robots + 1]);
});

it('counts robots by what they report as a walk over the fleet does, after every event', () => {
  const seed = seedOfRun();
  for (let history = 0; history < HISTORIES; history += 1) {
    const random = new Random(seed + history);
    const fleet = new Fleet();
    for (let event = 0; event < EVENTS; event += 1) {
      happen(fleet, random, AT_MS + event * 1_000);
      const where = `seed ${seed}, history ${history}, event ${event}`;
      const robots = fleet.robots();
      assert.deepEqual(fleet.counts.components(), countInFull(fleet), where);
      assert.equal(fleet.counts.online, robots.filter(({ online }) => online).length, where);
      // The fleet knows without a walk that most clocks are right, and lists none then.
      const clocks = robots.filter(({ online, via }) => online && via === null);
      const ahead = clocks.flatMap((one) => fleet.clockAheadMs(one) ?? []);
      const off = ahead.filter((one) => one > LIMITS.aheadMsMax);
      assert.equal(fleet.clocksAheadMs().length, off.length * 2 > ahead.length ? ahead.length : 0);
      const twins = robots.filter(({ robot }) => fleet.twinsOf(robot) !== null).length;
      assert.equal(fleet.countTwins(), twins, where);
      const refusing = robots.filter(
        ({ online, state }) => online && (state?.progress_refused ?? []).length > 0,
      );
      const names = (list: readonly string[]): string[] => list.toSorted();
      const told = fleet.refusedProgress().map(({ voice }) => voice);
      const voices = refusing.map(({ robot, via }) => (via === null ? robot : `relay ${via}`));
      assert.deepEqual(names(told), names(voices), where);
      // Each robot once, in order, also one that went and came back before anybody asked.
      const ids = robots.map(({ robot }) => robot);
      assert.deepEqual(ids, [...new Set(ids)].sort(), where);
    }
  }
});
