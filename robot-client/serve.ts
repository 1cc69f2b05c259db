/**
 * Runs one agent as a process. The order matters: the roots are locked and the local socket is open
 * before anything is read or installed, so an agent that cannot be asked whether the robot is busy
 * never swaps. Whatever fails afterwards closes all of it, so that no half of an agent lives on.
 */

import { DroverError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import type { Agent } from './agent.ts';
import { layoutOf } from './core/layout.ts';
import { realDisk } from './io/disk.ts';
import { assertSocketPath } from './io/local-api.ts';
import { callLocalApi } from './io/local-client.ts';
import { lockRoot, type RootLock } from './io/root-lock.ts';
import { serveLocalApi } from './local.ts';
import type { ComponentRoot } from './options.ts';

/** Resolves after SIGTERM or SIGINT. @throws DroverError of the lock, the socket or the agent */
export async function serveAgent(
  agent: Agent,
  on: { roots: readonly ComponentRoot[]; socketPath: string; log: Log },
): Promise<void> {
  const { roots, socketPath, log } = on;
  const locks: RootLock[] = [];
  assertSocketPath(socketPath);
  try {
    for (const { root } of roots) locks.push(await lockRoot(root));
    await assertNoAgent(socketPath);
    await makeSocketFolder(socketPath, roots);
    const api = await serveLocalApi(agent, socketPath, log);
    try {
      await agent.open();
      await untilTold();
    } finally {
      await api.close();
      await agent.close();
    }
  } finally {
    for (const lock of locks) lock.release();
  }
}

/** An agent of 0.1 takes no lock: it is known by its socket. */
export async function assertNoAgent(socketPath: string): Promise<void> {
  try {
    await callLocalApi(socketPath, 'GET', '/status');
  } catch (thrown) {
    if (thrown instanceof DroverError && thrown.code === 'ROBOT_NOT_RUNNING') return;
    throw thrown;
  }
  throw new DroverError('ROBOT_ALREADY_RUNNING', `use ${socketPath}: an agent answers there`);
}

/** The state folder of a fresh root is ours to make; a folder that --socket names is not. */
async function makeSocketFolder(
  socketPath: string,
  roots: readonly ComponentRoot[],
): Promise<void> {
  for (const { root } of roots) {
    const { state } = layoutOf(root);
    if (socketPath.startsWith(`${state}/`)) await realDisk.mkdir(state);
  }
}

async function untilTold(): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
}
