import assert from 'node:assert/strict';
import { after, before, describe, it, mock } from 'node:test';
import { explore, type SkipSync } from '../crash/explore.ts';
import { Judge } from '../crash/judge.ts';
import { NOW, Release } from '../crash/robot.ts';
import { ANNOUNCED, SCENARIOS, type Scenario } from '../crash/scenarios.ts';
import { sickHooks } from '../crash/sick-hooks.ts';
import {
  OneSync,
  leavingOut,
  lineOf,
  syncLines,
  syncPlace,
  syncPlacesOf,
} from '../crash/sync-places.ts';

/** Syncs that no scenario comes by, and why that is right. In the order of their files. */
const EXEMPT = [
  // The mark of an orderly end: one that comes back costs a check of the hashes.
  'await disk.unlink(markOf(layout)); await disk.syncFolder(layout.state);',
  'signal?.throwIfAborted(); await tasks.add(() => disk.syncFolder(folder));',
  'try { await file.sync();',
  // Byte code of Python: without it a delta is lost, and nothing else.
  'if (this.#made) await this.#disk.syncFolder(this.#folder);',
  'await disk.rename(staged, keptFolder(layout, version)); await disk.syncFolder(layout.kept);',
  'await disk.syncFolder(layout.kept); await disk.syncFolder(layout.root);',
  // Of modules, which no scenario here has: while there is a state it names the strategy as well,
  // and the folder of a module is made again.
  'await disk.mkdir(folder); await disk.syncFolder(layout.root);',
  // The log of a failed update: nothing is unsafe without it.
  'await this.#disk.mkdir(this.#folder); await this.#disk.syncFolder(this.#state);',
  // `drover-robot adopt`, which a person runs while the application does not.
  'await copyDurably(disk, { from, beside: `${layout.staging}/adopt-${slot}`, to }); await disk.syncFolder(layout.releases);',
  'await pointSlot(disk, layout, { slot, version, mayFollow: true }); await disk.syncFolder(layout.root);',
  'await disk.symlink(to, releaseFolder(layout, version)); await disk.syncFolder(layout.releases);',
  'await pointSlot(disk, layout, { slot, version, mayFollow: true }); await disk.syncFolder(layout.root);',
  'await pointSlot(disk, layout, { slot, version: next }); await disk.syncFolder(layout.root);',
  // An adoption by a copy, or with a damaged intent: adoption.test.ts cuts those at each operation.
  '} await disk.syncFolder(layout.releases);',
  'await takeLink(disk, layout, { ready, link: layout.active }); await disk.syncFolder(layout.root);',
  // `recover` links a lost `active` or `rollback` again: after a cut the next boot finds it lost, and
  // does the same.
  "await pointSlot(disk, layout, { slot: 'active', version, mayFollow: true }); await disk.syncFolder(layout.root);",
  '} await disk.syncFolder(layout.root);',
  // In the middle of a long download: it bounds what is fetched again, nothing is unsafe without.
  'unsynced = 0; await file.sync();',
  // The mark of an application that was stopped: one that comes back costs another start.
  'await disk.removeTree(stoppedMark(layout)); await disk.syncFolder(layout.state);',
  'await disk.mkdir(folder); await disk.syncFolder(layout.modules);',
  'await disk.syncFolder(layout.modules); await disk.syncFolder(layout.root);',
  // Of system images, whose cuts have a walk of their own (test/crash/set-image-cuts.test.ts).
  'await removeLink(on.disk, on.layout, on.layout.rollback); await on.disk.syncFolder(on.layout.root);',
  'await removeLink(disk, layout, layout.rollback); await disk.syncFolder(layout.root);',
  // `recover` goes back from a damaged release: after a cut it looks again, and goes back again.
  'const kept = await removeSameRollback(disk, layout); await disk.syncFolder(layout.root);',
];

/** Not missed alone: one of the two tells what an adoption has begun. A test leaves out both. */
const EITHER = ['tryOut: fsync folder <root>', 'writeWhole: fsync <root>/state/adopting.json.new'];

/** In a swap, the links that come after it say the same; slot-links.test.ts holds the order. */
const STRAIGHT = 'straighten: fsync folder <root>';

/** The mark of what was confirmed: it is missed only where the state is lost as well. */
const MARK = [
  'writeWhole: fsync <root>/seals/.confirmed.new',
  'writeWhole: fsync folder <root>/seals',
];

/** Calls that may be left out once, each with why; where a place is needed another call of it is. */
const NOT_MISSED_ONCE: Readonly<Record<string, string>> = {
  ...Object.fromEntries(EITHER.map((place) => [place, 'the other one tells it'])),
  ...Object.fromEntries(MARK.map((place) => [place, 'a mark that is lost is made again at rest'])),
  'writeWhole: fsync folder <root>/state':
    'a robot at rest writes its state when it starts: it reports nothing before the next write',
  'prepareLayout: fsync folder <root>': 'an adoption makes the root durable when it tries out',
  'keepSeal: fsync <root>/seals/.new':
    'the seal of what was adopted: without one the robot runs on as before',
  'keepSeal: fsync folder <root>/seals': 'the same',
  'finish: fsync <root>/staging/<payload>/recipe':
    'where no delta follows; the scenario with one misses it',
  'keepRecipe: fsync folder <root>/bases': 'the same',
};

/** Between them they come by every phase, with an old version and without. */
const EACH_TIME = [
  'adoption of a plain active folder, and an update',
  'update that is rolled back',
  'first install that is rolled back',
];

const withoutPlace = (place: string): string => place.replace(/^\S+ /, '');

describe('leaving out any single fsync', () => {
  before(() => mock.timers.enable({ apis: ['Date'], now: NOW }));
  after(() => mock.timers.reset());

  it('is noticed: some power cut then leaves a state that is wrong', async (t) => {
    const release = await Release.of(...ANNOUNCED);
    const judge = new Judge(release);
    const usedIn = new Map<string, Scenario[]>();
    const hooks = new Map<Scenario, string>();
    for (const scenario of SCENARIOS) {
      hooks.set(scenario, await sickHooks(t, scenario.sick));
      const places = await syncPlacesOf(scenario, release, hooks.get(scenario) as string);
      for (const place of places) usedIn.set(place, [...(usedIn.get(place) ?? []), scenario]);
    }
    assert.ok(usedIn.size >= 20, `only ${usedIn.size} places`);
    const asked = new Set([...usedIn.keys()].map(lineOf));
    const unused = [...syncLines()].filter(([line]) => !asked.has(line)).map(([, text]) => text);
    assert.deepEqual(unused, EXEMPT, 'the scenarios pass by every other fsync of the product');
    const survivors: string[] = [];
    for (const [place, scenarios] of usedIn) {
      let caught: string | undefined;
      for (const scenario of scenarios) {
        const hooksFolder = hooks.get(scenario) as string;
        const mutant = { scenario, release, judge, hooksFolder, skipSync: leavingOut(place) };
        [caught] = (await explore({ ...mutant, stopAtFirst: true })).wrong;
        if (caught !== undefined) break;
      }
      t.diagnostic(`without ${place}: ${caught ?? 'not noticed'}`);
      if (caught === undefined) survivors.push(place);
    }
    t.diagnostic(`fsyncs left out in turn: ${usedIn.size}`);
    assert.deepEqual(new Set(survivors.map(withoutPlace)), new Set([...EITHER, STRAIGHT, ...MARK]));
  });

  it('is noticed when both of those go that may go alone', async (t) => {
    const release = await Release.of(...ANNOUNCED);
    const judge = new Judge(release);
    const scenario = SCENARIOS.find(({ name }) => name === EACH_TIME[0]);
    assert.ok(scenario);
    const hooksFolder = await sickHooks(t, scenario.sick);
    const skipSync: SkipSync = (name, path) => EITHER.includes(withoutPlace(syncPlace(name, path)));
    const mutant = { scenario, release, judge, hooksFolder, skipSync };
    const { wrong } = await explore({ ...mutant, stopAtFirst: true, updateOnly: true });
    assert.match(wrong[0] ?? 'not noticed', /active leads to null/);
  });

  it('is noticed at each time it is asked for, not only at the first', async (t) => {
    const release = await Release.of(...ANNOUNCED);
    const judge = new Judge(release);
    const survivors: string[] = [];
    let left = 0;
    for (const scenario of SCENARIOS.filter((one) => EACH_TIME.includes(one.name))) {
      const hooksFolder = await sickHooks(t, scenario.sick);
      for (let nth = 1; ; nth += 1) {
        const one = new OneSync(nth);
        const mutant = { scenario, release, judge, hooksFolder, skipSync: one.skip };
        const { wrong } = await explore({ ...mutant, stopAtFirst: true, updateOnly: true });
        if (one.place === null) break;
        left += 1;
        if (wrong.length === 0) survivors.push(withoutPlace(one.place));
      }
      const missing = survivors.splice(0).filter((place) => !(place in NOT_MISSED_ONCE));
      assert.deepEqual(missing, [], scenario.name);
    }
    t.diagnostic(`calls of fsync left out in turn: ${left}`);
    assert.ok(left >= 90, `only ${left} calls`);
  });
});
