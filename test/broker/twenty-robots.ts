/**
 * Twenty robots and a controller that leads one rollout to them: most controller tests start here.
 */

import type { Controller } from '../../broker/rollout/controller.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import type { RolloutFields } from '../../shared/formats/announcement.ts';
import { cohortFraction } from '../../shared/rules/rollout-rules.ts';
import { withTempFolder } from '../helpers/temp-folder.ts';
import { ControllerWorld, openStore } from './controller-world.ts';

export const ROBOTS = Array.from({ length: 20 }, (_, at) => `r${at + 1}`);
/** The salt is that of the test fleet. */
export const fraction = (robot: string): number => cohortFraction('test', robot as RobotId);
/** In the order in which waves reach them. */
export const ORDER = ROBOTS.toSorted((a, b) => fraction(a) - fraction(b));
export const GATES = { batch_s: 2, evidence_wait_s: 12 };

interface Stage {
  readonly world: ControllerWorld;
  readonly controller: Controller;
  readonly folder: string;
  /** Another controller on the same folder. The first is left as a kill leaves it. */
  reopen(): Promise<Controller>;
}

/** All robots on 1.0.0 and online, and a controller that leads `x`. */
export async function play(
  more: Partial<RolloutFields>,
  run: (stage: Stage) => Promise<void>,
): Promise<void> {
  const alone = async (world: ControllerWorld): Promise<RolloutFields[]> => [
    await world.rollout('x', '1.1.0', { gates: GATES, ...more }),
  ];
  await playRollouts(alone, run);
}

/** The same with rollouts that the test makes. */
export async function playRollouts(
  rollouts: (world: ControllerWorld) => Promise<readonly RolloutFields[]>,
  run: (stage: Stage) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (folder) => {
    const world = new ControllerWorld();
    let store = await openStore(folder);
    for (const robot of ROBOTS) {
      world.online(robot);
      world.say(robot, { usage: [{ stint: 1, version: '1.0.0', run_s: 600 }] });
    }
    await world.announce(...(await rollouts(world)));
    const controller = await world.start(store);
    await world.pass(controller, 3);
    const reopen = async (): Promise<Controller> => {
      await store.close();
      store = await openStore(folder);
      return await world.start(store);
    };
    await run({ world, controller, folder, reopen });
    await store.close();
  });
}
