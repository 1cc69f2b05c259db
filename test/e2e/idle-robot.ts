/**
 * A robot that has nothing to do, as it stands in the field: started by the command that npm
 * installs (its flags are part of the weight), a version installed, a health hook that is asked,
 * and a proxy before the broker that reads along.
 */

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { callLocalApi } from '../../robot-client/local/client.ts';
import { startChild, type Child } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';
import type { Scope } from '../helpers/scope.ts';
import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { TrafficMeter } from '../helpers/traffic-meter.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site, type ComponentStatus } from './site.ts';

export interface IdleRobot {
  readonly child: Child;
  /** Of the only link that this robot has. */
  readonly traffic: TrafficMeter;
}

const VERSION = '1.4.2';
/** About as long as such names are: it stands in every topic and report. */
const ID = 'warehouse-7-amr-042';

/** `updated` has just been updated, so that a gate would want its counters; `resting` never was. */
export type History = 'updated' | 'resting';

export async function startIdleRobot(scope: Scope, history: History): Promise<IdleRobot> {
  const broker = await startBrokerChild(scope);
  const site = await Site.open(scope);
  const proxy = await startTcpProxy(scope, broker.port);
  const traffic = new TrafficMeter();
  proxy.tap = traffic.feed;
  const [root, hooks] = [site.path(ID), site.path('hooks')];
  if (history === 'updated') await site.publish(broker.url, await site.bundle(VERSION));
  else await mkdir(join(root, 'active'), { recursive: true });
  await mkdir(hooks);
  await writeFile(join(hooks, 'health'), '#!/bin/sh\necho restarts=0\n');
  await chmod(join(hooks, 'health'), 0o755);
  const link = ['--broker', `mqtt://127.0.0.1:${proxy.port}`, '--trust', site.path('trust.json')];
  const own = ['--id', ID, '--root', root, '--hooks', hooks, '--tags', 'floor2'];
  if (history === 'resting') own.push('--adopt-version', VERSION);
  const command = repositoryFile('robot-client/drover-robot');
  const env = { DROVER_LOG: 'error' };
  const child = startChild(scope, command, [...own, ...link], { env });
  await waitUntil(
    `the robot to run ${VERSION}`,
    async () => {
      const socket = join(root, 'state/agent.sock');
      const status = await callLocalApi(socket, 'GET', '/status');
      const { components } = status as unknown as { components: ComponentStatus[] };
      return components.some((one) => one.version === VERSION && one.phase === 'idle');
    },
    { look: () => child.describe() },
  );
  return { child, traffic };
}
