/**
 * Runs an agent that may be a release of the component `drover-agent`: such a process ends by itself
 * when another release of the agent is to start, with an exit code that drover-launch knows.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { PRODUCT_VERSION } from '../../shared/io/cli.ts';
import { AGENT_COMPONENT } from '../../shared/rules/agent-bundle.ts';
import type { Agent } from '../agent.ts';
import type { Disk } from '../install/disk-port.ts';
import { callLocalApi } from '../local/client.ts';
import { RESTART_EXIT } from '../self/launch.ts';
import { SelfSide } from '../self/self-side.ts';
import type { ComponentRoot } from './given-roots.ts';
import { serveAgent, type ServeOptions } from './serve-agent.ts';

/** This process as a release; undefined where the agent is no component of the robot. */
export function selfOf(on: {
  readonly roots: readonly ComponentRoot[];
  readonly disk: Disk;
  readonly socketPath: string;
  readonly log: Log;
}): SelfSide | undefined {
  const { disk, log, socketPath } = on;
  const root = on.roots.find(({ component }) => component === AGENT_COMPONENT)?.root;
  if (root === undefined) return undefined;
  return new SelfSide({
    ...{ root, disk, log, product: PRODUCT_VERSION },
    programPath: process.argv[1] ?? '',
    environment: process.env,
    askDoor: () => callLocalApi(socketPath, 'GET', '/status'),
  });
}

/** As `serveAgent`; sets the exit code of the process when another release is to start. */
export async function serveAsSelf(
  agent: Agent,
  self: SelfSide | undefined,
  on: Omit<ServeOptions, 'restarting'>,
): Promise<void> {
  await serveAgent(agent, { ...on, restarting: self?.restarting });
  if (self?.isEnding !== true) return;
  process.exitCode = RESTART_EXIT;
  // Everything is closed; a handle that a bug left open must not keep the next agent from starting.
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), LIMITS.retrySoonMs).unref();
}
