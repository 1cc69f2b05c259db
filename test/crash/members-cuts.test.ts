/**
 * A set on three computers with a model disk each. From the first question of the leader on, the
 * power of the whole robot is cut after an operation on one of the disks, and each disk is left in
 * a state of its own that this cut allows; then a disk refuses what is written. All computers run
 * the set in the end or none does, and none goes back from a decision by which another confirmed.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Disk } from '../../robot-client/install/disk-port.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { seedOfRun } from '../helpers/run-seed.ts';
import { Share } from '../helpers/share.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { makeRandom } from '../kill/kill-plan.ts';
import { faultyDisk, isChange, type Gate } from '../robot-client/faulty-disk.ts';
import { crashStates, visibleImage } from './crash-states.ts';
import type { FolderImage } from './disk-image.ts';
import { bootAll, installed, ModelRobot, NAMES, NEW } from './members-robot.ts';
import { ModelDisk } from './model-disk.ts';

const ONE_IN = 80;
/** Of the changes of a disk while the set is decided, these many are left out between two faults. */
const FAULT_EVERY = 17;
const ALL_NEW = NAMES.map(() => NEW);
const random = makeRandom(seedOfRun());

interface Cut {
  readonly at: string;
  /** One for each computer. */
  readonly images: readonly FolderImage[];
}

const isAsked = ({ components }: ModelRobot): boolean =>
  components.some(({ view: { state } }) => (state.job ?? state.installed)?.commitId);

const pick = (images: readonly FolderImage[]): FolderImage =>
  images[Math.floor(random() * images.length)] as FolderImage;

/** The record of the leader, the state of a component, a link, or all else. */
const placeOf = (path: string): string =>
  /commits[.]|machine[.]|active|rollback/.exec(path)?.[0] ?? 'another file';

/** Runs a robot on these disks; each decision is followed by all in the same direction. */
async function run(
  disks: readonly Disk[],
  { isOffered, watch }: { isOffered: boolean; watch?: (robot: ModelRobot) => void },
): Promise<ModelRobot> {
  const [confirmed, undone] = [new Set<string>(), new Set<string>()];
  const robot: ModelRobot = new ModelRobot(disks, {
    isOffered,
    onStep: () => {
      for (const { view } of robot.components) {
        const { phase, job, installed: runs } = view.state;
        if (runs?.commitId) confirmed.add(runs.commitId);
        if (phase === 'rolling_back' && job?.commitId) undone.add(job.commitId);
      }
    },
  });
  watch?.(robot);
  await robot.run();
  const mixed = [...confirmed].filter((id) => undone.has(id));
  assert.deepEqual(mixed, [], 'one computer confirmed a decision from which another went back');
  return robot;
}

async function runFrom(images: readonly FolderImage[]): Promise<(string | null)[]> {
  const disks = images.map((image) => new ModelDisk(image));
  await bootAll(disks);
  const robot = await run(disks, { isOffered: false });
  await robot.close();
  return robot.versions;
}

interface Story {
  readonly cuts: readonly Cut[];
  readonly said: string;
  /** Of all computers, when the leader asks its first question: all is downloaded and staged. */
  readonly staged: readonly FolderImage[];
}

/** The whole set once, with nothing in its way. */
async function tell(): Promise<Story> {
  const cuts: Cut[] = [];
  const share = new Share(ONE_IN, seedOfRun());
  let operations = 0;
  let staged: readonly FolderImage[] | null = null;
  const disks = NAMES.map(() => new ModelDisk(installed()));
  const watch = (made: ModelRobot): void => {
    for (const [nth, disk] of disks.entries()) {
      const onOperation = (operation: string, path: string): void => {
        if (!isAsked(made)) return;
        staged ??= disks.map(visibleImage);
        const kind = `${nth === 0 ? 'leader' : 'member'}, ${placeOf(path)}`;
        operations += 1;
        if (share.of([kind], (one) => one).length === 0) return;
        cuts.push({
          at: `${kind}: ${operation}`,
          images: disks.map((one) => pick([...crashStates(one)])),
        });
      };
      disk.hooks = { onOperation };
    }
  };
  const robot = await run(disks, { isOffered: true, watch });
  await robot.close();
  assert.deepEqual(robot.versions, ALL_NEW);
  const said = `${cuts.length} of ${operations} cuts, ${share.said}`;
  return { cuts, said, staged: staged ?? assert.fail('no question was asked') };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => (made ??= make());
}

describe('a set on three computers, each with a disk of its own', () => {
  const story = once(tell);

  it('is run by all of them in the end, after a power cut at any operation of its decisions', async (t) => {
    const { cuts, said } = await story();
    t.diagnostic(said);
    assert.ok(cuts.length > 5, said);
    for (const { at, images } of cuts) assert.deepEqual(await runFrom(images), ALL_NEW, at);
  });

  it('is not ended for a computer whose disk refuses to confirm, and loses its power then', async () => {
    const { staged } = await story();
    const disks = staged.map((image) => new ModelDisk(image));
    let robot: ModelRobot | null = null;
    const isConfirm = (): boolean => robot?.leader.explain().join().includes('to confirm') === true;
    const gate: Gate = (operation) => {
      const isState = operation.path.includes('/state/machine.json');
      if (isState && isChange(operation) && isConfirm())
        throw new DroverError('DISK_READ_ONLY', `change ${operation.path}: refused`);
    };
    const faulty = disks.map((disk, at) => (at === 2 ? faultyDisk(gate, disk) : disk));
    robot = await run(faulty, { isOffered: false, watch: (made) => (robot = made) });
    const { leader } = robot;
    await waitUntil('the leader heard it', () => leader.views.get('arm')?.state.phase === 'idle');
    assert.equal(leader.views.get('arm')?.isUnkept, true);
    for (let turn = 0; turn < 50; turn += 1) await nextTurn(); // all that a leader needs to end it
    assert.ok(isConfirm(), 'the decision is still there');
    const images = disks.map(visibleImage);
    await robot.close();
    assert.deepEqual(await runFrom(images), ALL_NEW);
  });

  for (const [nth, name] of NAMES.entries()) {
    it(`is run by all or none when the disk of ${name} refuses a few of its writes`, async () => {
      const { staged } = await story();
      for (let from = Math.floor(random() * FAULT_EVERY); ; from += FAULT_EVERY) {
        const disks = staged.map((image) => new ModelDisk(image));
        let changes = 0;
        const gate: Gate = (operation) => {
          if (!isChange(operation)) return;
          changes += 1;
          const code = from % 2 === 0 ? 'DISK_FULL' : 'DISK_READ_ONLY';
          if (changes > from && changes <= from + 3)
            throw new DroverError(code, `change ${operation.path}: refused`);
        };
        const robot = await run(
          disks.map((disk, at) => (at === nth ? faultyDisk(gate, disk) : disk)),
          { isOffered: false },
        );
        const { versions } = robot;
        await robot.close();
        assert.equal(new Set(versions).size, 1, `from change ${from}: ${versions.join()}`);
        if (changes >= from + FAULT_EVERY) continue;
        const after = await runFrom(disks.map(visibleImage));
        assert.equal(new Set(after).size, 1, `from change ${from}, then cut: ${after.join()}`);
        break;
      }
    });
  }
});
