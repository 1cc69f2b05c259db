/**
 * The power is cut after each operation of an update that relies on a ready lease. A restart ends
 * the lease: before the switch, `recover` leaves the old version running and the agent waits for
 * another lease; after it, the rule of the site decides.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { versionOfLink } from '../../robot-client/install/layout.ts';
import type { AfterSwitch } from '../../robot-client/local/ready-lease.ts';
import { parseMachineState } from '../../robot-client/update/state.ts';
import { ATOMIC_SWAP } from '../../shared/formats/apply-strategy.ts';
import { seedOfRun } from '../helpers/run-seed.ts';
import { Share } from '../helpers/share.ts';
import { crashStates, visibleImage } from './crash-states.ts';
import { imageAt, imageKey, type FolderImage } from './disk-image.ts';
import { machineText } from './judge.ts';
import { BOARD_STRATEGY, flashIn } from './model-board.ts';
import { ModelDisk } from './model-disk.ts';
import { MODULE_SCENARIOS } from './module-scenarios.ts';
import { recover, Release, Robot, ROOT } from './robot.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';

const [OLD, NEW] = ['1.0.0', '1.1.0'];
/** The walk takes a while; each kind of state is met all the same. */
const ONE_IN = 12;
/** No test lasts so long. */
const HOLD = { ready: true, reason: '', holdMs: 3_600_000 };

const stateOf = (image: FolderImage) =>
  parseMachineState(new TextEncoder().encode(machineText(image) ?? ''));

function activeOf(image: FolderImage): string | null {
  const active = imageAt(image, `${ROOT}/active`);
  return active?.kind === 'link' ? versionOfLink(active.target) : null;
}

/** Before or after the switch, in each phase. */
const kindOf = (image: FolderImage): string =>
  `${stateOf(image).phase} ${activeOf(image)} ${flashIn(image)}`;

interface Kind {
  readonly strategy: string;
  readonly scenarios: readonly Scenario[];
  readonly afterSwitch: AfterSwitch;
}

/** All that a cut can leave of an update from the begin of its swap on, each once. */
async function cuts({ strategy, scenarios, afterSwitch }: Kind) {
  const release = await new Release(strategy).with(OLD, NEW);
  const start = scenarios.find(({ name }) => name.startsWith('update'))?.start;
  assert.ok(start);
  const images = new Map<string, FolderImage>();
  const disk = new ModelDisk(start);
  const robot = robotOn(disk, release, afterSwitch);
  await robot.component.ready(HOLD);
  let isSwapping = false;
  disk.hooks = {
    onOperation: () => {
      isSwapping ||= robot.component.view.state.phase === 'swapping';
      if (!isSwapping) return;
      for (const image of crashStates(disk)) images.set(imageKey(image), image);
    },
  };
  await robot.open(NEW);
  await robot.component.close();
  assert.equal(activeOf(visibleImage(disk)), NEW);
  return { release, images: [...images.values()] };
}

const robotOn = (disk: ModelDisk, release: Release, leaseLostAfterSwitch: AfterSwitch): Robot =>
  new Robot({ disk, release, hooksFolder: '/no-hooks', interlock: { leaseLostAfterSwitch } });

async function judge(kind: Kind, image: FolderImage, release: Release): Promise<string> {
  const disk = new ModelDisk(image);
  const [found, foundActive] = [stateOf(image), activeOf(image)];
  await recover(disk, release);
  const [after, { phase }] = [visibleImage(disk), stateOf(visibleImage(disk))];
  const isOfModule = kind.strategy === BOARD_STRATEGY;
  if (isOfModule && phase !== 'swapping') assert.equal(flashIn(after), activeOf(after), phase);
  const hasSwitched = foundActive === NEW || (isOfModule && flashIn(image) === NEW);
  const way = `${found.phase} ${hasSwitched ? 'switched' : 'before'} -> ${phase}`;
  if (found.phase === 'swapping' && !hasSwitched) {
    assert.equal(activeOf(after), OLD, way);
    assert.equal(phase, 'waiting', way);
  }
  const robot = robotOn(disk, release, kind.afterSwitch);
  const rest = robot.open(NEW);
  // The application holds again where the agent asks for it, and stays silent in probation.
  if (phase === 'waiting') await robot.component.ready(HOLD);
  await rest;
  await robot.component.close(); // else it tries again after a while
  const goesBack = phase === 'probation' && kind.afterSwitch === 'back';
  const [end, ended] = [visibleImage(disk), stateOf(visibleImage(disk))];
  assert.equal(activeOf(end), goesBack ? OLD : NEW, way);
  if (isOfModule) assert.equal(flashIn(end), activeOf(end), way);
  assert.deepEqual(ended.blocked, [], way);
  if (goesBack) assert.equal(ended.lastUpdate?.code, 'READY_LEASE_LOST', way);
  return `${way} -> ${goesBack ? OLD : NEW}`;
}

const KINDS: readonly Kind[] = [
  { strategy: ATOMIC_SWAP, scenarios: SCENARIOS, afterSwitch: 'stay' },
  { strategy: ATOMIC_SWAP, scenarios: SCENARIOS, afterSwitch: 'back' },
  { strategy: BOARD_STRATEGY, scenarios: MODULE_SCENARIOS, afterSwitch: 'back' },
];

describe('a power cut while a ready lease is held', () => {
  for (const kind of KINDS) {
    it(`keeps the old version before the switch; ${kind.strategy}, ${kind.afterSwitch} after it`, async (t) => {
      const { release, images } = await cuts(kind);
      const ways = new Map<string, number>();
      const share = new Share(ONE_IN, seedOfRun());
      const phases = new Map(images.map((image) => [image, kindOf(image)]));
      for (const image of share.of(images, (one) => phases.get(one) ?? '')) {
        const way = await judge(kind, image, release);
        ways.set(way, (ways.get(way) ?? 0) + 1);
      }
      const end = kind.afterSwitch === 'back' ? OLD : NEW;
      for (const want of [
        `swapping before -> waiting -> ${NEW}`,
        `probation switched -> probation -> ${end}`,
      ]) {
        assert.ok(ways.has(want), `${want}: ${JSON.stringify([...ways])}`);
      }
      t.diagnostic(`crash states: ${images.length} (${share.said})`);
    });
  }
});
