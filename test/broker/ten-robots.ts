/**
 * A controller that leads `x-1` to ten robots on 1.0.0, with the HTTP API before it; `r0` is the
 * canary. Only time is the test's.
 */

import type { Controller } from '../../broker/rollout/controller.ts';
import type { RolloutFields } from '../../shared/formats/announcement.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { startApi, type ApiInput, type TestApi } from './api.ts';
import { ControllerWorld, openStore } from './controller-world.ts';

export interface TenRobots {
  readonly world: ControllerWorld;
  readonly controller: Controller;
  readonly api: TestApi;
}

export async function leadTen(
  scope: Scope,
  more: Partial<RolloutFields>,
  input: Pick<ApiInput, 'users' | 'protected'> = {},
): Promise<TenRobots> {
  const world = new ControllerWorld();
  const store = await openStore(await tempFolder(scope));
  for (let at = 0; at < 10; at += 1) {
    world.online(`r${at}`);
    world.say(`r${at}`, {});
  }
  const canaries = { robots: ['r0'] };
  await world.announce(
    await world.rollout('x-1', '2.0.0', { canaries, approve_after: [0], ...more }),
  );
  const controller = await world.start(store);
  scope.after(async () => {
    await controller.close();
    await store.close();
  });
  await world.pass(controller, 3);
  const views = () => world.views();
  const api = await startApi(scope, { fleet: world.robots, controller, views, ...input });
  return { world, controller, api };
}
