/**
 * A robot with two system slots whose state is lost at a boot in any phase of an update, in each
 * way, with the release of the slot on trial there or gone: it never reports a version that
 * does not run, and a version on trial is confirmed only after its health was asked.
 */

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { reportComponent } from '../../../robot-client/fleet/report.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { seedOfRun } from '../../helpers/run-seed.ts';
import { Share } from '../../helpers/share.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { OLD } from '../bench.ts';
import { B } from '../boot/boot-loaders.ts';
import { bundleOf, NEW, offered, restart, robotWith, type Robot } from '../slot-robot.ts';

/** Conditions of the state file after the boot. */
const LOSSES = {
  'is whole': () => Promise.resolve(),
  'is lost with its folder': (root: string) => rm(join(root, 'state'), { recursive: true }),
  'is lost': (root: string) => rm(join(root, 'state', 'machine.json')),
  'is empty': (root: string) => writeFile(join(root, 'state', 'machine.json'), ''),
  'is damaged': (root: string) => writeFile(join(root, 'state', 'machine.json'), '{"phase":"id'),
} as const;
/** Phases as they are reported, and the boots that the agent asks for. */
const PHASES = [
  ...([
    'swapping',
    'the order',
    'the boot into the image',
    'probation',
    'rolling_back',
    'the boot back',
  ] as const),
];

/** Only a sick version goes back. */
const IS_BACK: readonly string[] = ['rolling_back', 'the boot back'];

interface Case {
  readonly at: (typeof PHASES)[number];
  readonly loss: keyof typeof LOSSES;
  readonly isGone: boolean;
  readonly recovers: boolean;
  readonly reports: boolean;
  readonly isHealthy: boolean;
}

const YES_NO = [true, false];
const CASES: readonly Case[] = PHASES.flatMap((at) =>
  (Object.keys(LOSSES) as (keyof typeof LOSSES)[]).flatMap((loss) =>
    YES_NO.flatMap((isGone) =>
      YES_NO.flatMap((recovers) =>
        YES_NO.flatMap((reports) =>
          YES_NO.filter((isHealthy) => !isHealthy || !IS_BACK.includes(at))
            // A state that is whole explains its order.
            .filter(() => at !== 'the order' || loss !== 'is whole')
            .map((isHealthy) => ({ ...{ at, loss, isGone, recovers, reports, isHealthy } })),
        ),
      ),
    ),
  ),
);

const nameOf = (one: Case): string =>
  [
    `${one.at}: the state ${one.loss}`,
    one.isGone ? 'the release is gone' : 'the release is there',
    one.recovers ? 'recover runs' : 'no recover',
    one.reports ? 'the boot loader reports' : 'the boot loader says what runs',
    one.isHealthy ? 'healthy' : 'sick',
  ].join(', ');

/** The boot at which the state is lost. @param powerOn called when the former agent has ended */
async function bootWithout(
  robot: Robot,
  { at, loss, isGone, recovers }: Case,
  powerOn: () => void,
): Promise<void> {
  const { bench } = robot;
  bench.gate = () => {
    throw new Error('the power is off');
  };
  await bench.component.close();
  bench.gate = () => {};
  powerOn();
  await LOSSES[loss](bench.root);
  if (at === 'the order') return await startAgain(robot);
  if (isGone) await rm(join(bench.root, 'releases', NEW), { recursive: true, force: true });
  robot.machine.restart();
  if (recovers) {
    await recoverComponent({
      ...{ component: 'app', root: bench.root, disk: realDisk, hooksFolder: bench.hooks },
      ...{ bootsMax: 3, adoptVersion: '0.0.0' },
    });
  }
  await bench.cutPower();
}

/** The agent starts again while the boot loader has its order, and the power is cut later. */
async function startAgain(robot: Robot): Promise<void> {
  const { bench, machine } = robot;
  bench.announce(await bundleOf(OLD), OLD);
  await bench.cutPower();
  await waitUntil('the order is taken back', () => !/[1-9]/.test(machine.mark.other));
  await bench.component.close();
  machine.restart();
  await bench.cutPower();
}

/** A version that the robot says is installed, without a word of a problem, while another runs. */
function falseReport({ bench, machine }: Robot): string | null {
  const { phase, version, last_error: problem } = reportComponent(bench.component.view);
  const runs = machine.running === B ? NEW : OLD;
  if (!bench.component.isOpen) return null; // nothing was read since the boot
  return phase === 'idle' && version !== runs && !problem ? `${version}, and ${runs} runs` : null;
}

async function play(t: TestContext, one: Case): Promise<void> {
  const robot = await robotWith(t, { reports: one.reports });
  const { bench, machine } = robot;
  const asked = join(bench.root, 'asked');
  const sick = one.isHealthy ? '' : `[ $DROVER_VERSION = ${OLD} ] || exit 70`;
  await bench.hook('health', `echo "$DROVER_VERSION" >>${asked}\n${sick}`);
  let isLost = false;
  let isDown = false;
  let isBack = false;
  let failure: unknown = null;
  machine.onChange = () => {
    if (isDown) throw new Error('the power is off');
    return undefined;
  };
  const lose = (): void => {
    isLost = isDown = true;
    setImmediate(() => {
      bootWithout(robot, one, () => (isDown = false)).then(
        () => (isBack = true),
        (thrown: unknown) => (failure = thrown),
      );
    });
  };
  machine.onReboot = () => {
    const boot = machine.running === B ? 'the boot back' : 'the boot into the image';
    const isOrder = boot === 'the boot into the image' && one.at === 'the order';
    if (!isLost && (one.at === boot || isOrder)) lose();
    else setImmediate(() => void restart(robot));
  };
  bench.onPhase = (phase) => {
    if (!isLost && phase === one.at) lose();
  };
  await offered(robot, NEW);
  await waitUntil('the loss', () => isLost, { look: () => bench.describe() });
  bench.announce(await bundleOf(OLD), OLD); // nothing new is on offer
  const wrong: string[] = [];
  await waitUntil(
    `rest ${nameOf(one)}`,
    () => {
      assert.equal(failure, null);
      if (!isBack) return false;
      const found = falseReport(robot);
      if (found !== null && wrong.at(-1) !== found) wrong.push(found);
      const { state, version } = bench.component.view;
      const runs = machine.running === B ? NEW : OLD;
      const isSure = machine.mark.confirmed === machine.running;
      return state.phase === 'idle' && version === runs && isSure;
    },
    { look: () => `${bench.describe()} ${machine.running} ${JSON.stringify(machine.mark)}` },
  );
  assert.deepEqual(wrong, [], nameOf(one));
  const healthOf = (await readFile(asked, 'utf8').catch(() => '')).split('\n');
  assertRight(robot, one, healthOf);
}

/** @param healthOf versions whose health was asked for */
function assertRight({ bench, machine }: Robot, one: Case, healthOf: readonly string[]): void {
  if (machine.running === B) {
    assert.ok(one.isHealthy, `a sick version stays ${nameOf(one)}`);
    assert.ok(healthOf.includes(NEW), `health was asked ${nameOf(one)}`);
  }
  if (one.at === 'the order')
    assert.notEqual(machine.running, B, `nobody asked for ${NEW} ${nameOf(one)}`);
  if (one.at === 'the boot into the image' && one.isHealthy)
    assert.equal(machine.running, B, bench.describe());
}

/** Of so many cases one is played in each run. */
const ONE_IN = 70;

describe('a state that is lost at a boot of a robot with system slots', () => {
  const share = new Share(ONE_IN, seedOfRun());
  const kindOf = ({ at, isGone }: Case): string => `${at} ${isGone}`;
  for (const one of share.of(CASES, kindOf)) {
    it(`reports what runs, ${nameOf(one)}`, (t) => play(t, one));
  }
  it('took a share of the cases', (t) => t.diagnostic(share.said));
});
