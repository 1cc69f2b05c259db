/**
 * Runs one agent as a process. The order matters: the roots are locked and the local socket is open
 * before anything is read or installed, so an agent that cannot be asked whether the robot is busy
 * never swaps. Only a disk that refuses is waited for: the agent stays, reports it, and holds every
 * swap. Any later failure closes everything, so that no half of an agent runs on.
 */

import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Agent } from '../agent.ts';
import { isDiskFailure } from '../install/disk-error.ts';
import { mayListen } from '../install/kernel-locks.ts';
import { layoutOf } from '../install/layout.ts';
import { realDisk } from '../install/disk.ts';
import { assertSocketPath } from '../local/api.ts';
import { callLocalApi } from '../local/client.ts';
import { isSickDisk, type RootClaims } from '../install/root-claims.ts';
import { endsWithin } from '../../shared/io/within.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { serveLocalApi } from '../local/serve.ts';
import type { Computers } from '../members/computers.ts';
import { LocalDoor, type LocalDoorOptions } from '../local/door.ts';
import { OUTBOX } from '../fleet/outbox.ts';
import type { ComponentRoot } from './given-roots.ts';

export interface ServeOptions {
  readonly roots: readonly ComponentRoot[];
  /** The claims that the agent has. */
  readonly claims: RootClaims;
  readonly socketPath: string;
  /**
   * In the other roots: they answer as well, and alone while the disk keeps the first one closed.
   */
  readonly spareSockets?: readonly string[];
  /** Resolves when another release of the agent is to start. */
  readonly restarting?: Promise<void> | undefined;
  /** The other computers of the robot; left out on a robot of one. */
  readonly computers?: Computers | undefined;
  readonly log: Log;
}

/** Resolves after SIGTERM, SIGINT, or `restarting`. @throws DroverError of the lock, the socket or the agent */
export async function serveAgent(agent: Agent, on: ServeOptions): Promise<void> {
  const { roots, claims, socketPath } = on;
  let hasEnded = true;
  assertSocketPath(socketPath);
  claims.beforeStateIsMadeAgain(() => agent.components.refresh());
  const doors = openableDoors(agent, on);
  try {
    await claims.takeAll(roots);
    await assertNoAgent(socketPath);
    await warnOfOrder(on);
    await doors.open();
    try {
      await agent.open();
      await untilTold(on.restarting);
    } finally {
      await doors.close();
      hasEnded = await agent.close();
    }
  } finally {
    // A lock under which an effect still writes ends with the process, not before.
    if (hasEnded) claims.release();
  }
}

/** Events and counters stand in the first root: another first one begins them from zero. */
async function warnOfOrder({ roots, log }: ServeOptions): Promise<void> {
  const has = async ({ root }: ComponentRoot): Promise<boolean> =>
    (await realDisk.kind(`${layoutOf(root).state}/${OUTBOX}`).catch(() => null)) === 'file';
  const [first, ...others] = roots;
  if (!first || others.length === 0 || (await has(first))) return;
  for (const other of others) {
    if (!(await has(other))) continue;
    const facts = { first: first.root, before: other.root };
    return log.warn(
      facts,
      'the first root is another than before: name the old one first, it has the events and counters',
    );
  }
}

/** The usual socket and the spare ones; the agent learns what is closed after all were tried. */
function openableDoors(agent: Agent, on: ServeOptions) {
  const { socketPath, spareSockets = [], log } = on;
  let usual: Problem | null = null;
  let wereTried = false;
  const told = (): void => {
    const isReachable = spares.some(({ isOpen }) => isOpen);
    if (wereTried) agent.hold(usual && { problem: usual, isReachable });
  };
  const makeDoor = (
    path: string,
    more: Omit<LocalDoorOptions, 'open' | 'gone' | 'log'>,
  ): LocalDoor => {
    let id: string | null = null;
    return new LocalDoor({
      open: async () => {
        await makeSocketFolder(path, on);
        const api = await serveLocalApi(agent, path, log, on.computers);
        id = await realDisk.identity(path).catch(() => null);
        return api;
      },
      gone: () => goneSocket(path, id, on),
      log,
      ...more,
    });
  };
  const door = makeDoor(socketPath, {
    mayPass: (thrown) => isSickDisk(thrown) || !isRootClaimed(socketPath, on),
    onChange: (problem) => {
      usual = problem;
      told();
    },
    closed: 'local socket is closed: nothing is swapped that it could hold',
  });
  const spares = spareSockets.map((path) =>
    makeDoor(path, { mayPass: () => true, onChange: told, closed: 'spare local socket is closed' }),
  );
  const watch = new FolderWatch(agent, [door, ...spares], on);
  return {
    open: async (): Promise<void> => {
      await door.open(); // a wrong setting ends the agent before anything is created
      for (const spare of spares) await spare.open();
      wereTried = true;
      if (usual) told();
      watch.start();
    },
    close: async (): Promise<void> => {
      await watch.close();
      for (const one of [door, ...spares]) await one.close();
    },
  };
}

/** Null while the socket stands where it was opened, or cannot be checked. */
async function goneSocket(
  path: string,
  id: string | null,
  on: ServeOptions,
): Promise<Problem | null> {
  const found = await realDisk.identity(path).catch(() => id);
  if (found === id) return null;
  const root = socketRoot(path, on);
  const stray = root === null ? null : await on.claims.stray(root);
  return toProblem(
    stray ?? new DroverError('STATE_GONE', `listen on ${path}: the socket was removed`),
  );
}

/** Checks the roots and the sockets between messages: people remove and unmount them. */
class FolderWatch {
  readonly #agent: Agent;
  readonly #doors: readonly LocalDoor[];
  readonly #on: ServeOptions;
  #timer: NodeJS.Timeout | null = null;
  #refreshing: Promise<void> = Promise.resolve();
  #isRefreshing = false;

  constructor(agent: Agent, doors: readonly LocalDoor[], on: ServeOptions) {
    this.#agent = agent;
    this.#doors = doors;
    this.#on = on;
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (this.#isRefreshing) return; // a disk does not answer
      this.#isRefreshing = true;
      this.#refreshing = this.#refresh()
        .catch((error: unknown) => this.#on.log.debug({ error: String(error) }, 'not looked at'))
        .finally(() => (this.#isRefreshing = false));
    }, LIMITS.retrySoonMs);
  }

  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await endsWithin(this.#refreshing, LIMITS.retrySoonMs);
  }

  /** Opening a socket creates the state folder again: while that is gone the socket is closed. */
  async #refresh(): Promise<void> {
    const { claims, roots, socketPath, spareSockets = [] } = this.#on;
    const paths = [socketPath, ...spareSockets];
    for (const { root } of roots) {
      const stray = await claims.stray(root);
      if (!stray) continue;
      await this.#agent.components.refresh(); // they report
      const hasDoor = paths.some((path) => socketRoot(path, this.#on) === root);
      if (stray.code === 'STATE_GONE' && !hasDoor) await claims.takeState(root);
    }
    for (const door of this.#doors) await door.check();
  }
}

/** An agent of 0.1 takes no lock: its socket shows it. */
async function assertNoAgent(socketPath: string): Promise<void> {
  try {
    await callLocalApi(socketPath, 'GET', '/status');
  } catch (thrown) {
    if (thrown instanceof DroverError && thrown.code === 'ROBOT_NOT_RUNNING') return;
    throw thrown;
  }
  throw new DroverError('ROBOT_ALREADY_RUNNING', `use ${socketPath}: an agent answers there`);
}

/**
 * The same for a command. A socket that this user may not use may be a leftover of a power cut:
 * then no agent listens on it, and the check of the state reports the missing right.
 */
export async function assertNoAgentRuns(socketPath: string): Promise<void> {
  try {
    await assertNoAgent(socketPath);
  } catch (thrown) {
    const isDenied = thrown instanceof DroverError && thrown.code === 'ACCESS_DENIED';
    if (!isDenied || mayListen(socketPath)) throw thrown;
  }
}

/** The agent creates the state folder of a fresh root, but not a folder of --socket. */
async function makeSocketFolder(socketPath: string, on: ServeOptions): Promise<void> {
  const root = socketRoot(socketPath, on);
  if (root === null) return;
  await on.claims.take(root);
  const { state } = layoutOf(root);
  try {
    await on.claims.takeState(root);
    await realDisk.mkdir(state);
  } catch (thrown) {
    if (isSickDisk(thrown) || !isOfDisk(thrown)) throw thrown;
    const { message } = toProblem(thrown);
    const hint = `${state} must be a folder of the agent: move away what stands there`;
    throw new DroverError('SOCKET_UNUSABLE', `listen on ${socketPath}: ${message}`, { hint });
  }
}

const isOfDisk = (thrown: unknown): boolean =>
  !(thrown instanceof DroverError) || isDiskFailure(thrown.code);

/** The root in whose state folder the socket lies; null when it lies elsewhere. */
function socketRoot(socketPath: string, { roots }: ServeOptions): string | null {
  const found = roots.find(({ root }) => socketPath.startsWith(`${layoutOf(root).state}/`));
  return found?.root ?? null;
}

function isRootClaimed(socketPath: string, on: ServeOptions): boolean {
  const root = socketRoot(socketPath, on);
  return root === null || on.claims.has(root);
}

async function untilTold(restarting?: Promise<void>): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    restarting?.then(resolve, reject);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
}
