/**
 * `import { LocalAgent } from 'drover/local'`: the local API of the agent for an application on the
 * robot. docs/robot-integration.md says what each call does.
 */

import { join } from 'node:path';
import { DroverError } from '../../shared/base/errors.ts';
import type { RobotStateFields } from '../../shared/formats/messages.ts';
import { callLocalApi } from './client.ts';
import { ReadyHold, type HoldOptions } from './ready-hold.ts';

export type { HoldOptions, ReadyHold };
export type { ErrorCode } from '../../shared/base/error-catalogue.ts';
export { DroverError };

/** Events since the last call; whole numbers, each 0 when it is left out. */
export interface TelemetryCounts {
  readonly tasksCompleted?: number;
  readonly tasksFailed?: number;
  readonly crashes?: number;
}

/**
 * State of this robot as the fleet sees it, and its link to the broker; answer of `GET /status`.
 */
export interface AgentStatus extends RobotStateFields {
  readonly link: { readonly up: boolean; readonly broker: string };
}

export interface LocalAgentOptions {
  /** Root of this application's component; its agent listens on `state/agent.sock` below it. */
  readonly root?: string;
  /** Path of the socket, where the agent was given `--socket`. */
  readonly socket?: string;
  /**
   * Name of this application's component. When it is left out, `ready` and `confirm` are about all
   * components, and telemetry about `app`.
   */
  readonly component?: string;
}

/**
 * The agent of this robot. Each call is one request. It rejects with a DroverError:
 * ROBOT_NOT_RUNNING (nobody listens; try later), ACCESS_DENIED (join the group of the socket),
 * ROBOT_STARTING, or the code with which the agent refused.
 */
export class LocalAgent {
  readonly #socket: string;
  readonly #component: { component?: string };

  constructor({ root = '/opt/robot', socket, component }: LocalAgentOptions = {}) {
    this.#socket = socket ?? join(root, 'state', 'agent.sock');
    this.#component = component === undefined ? {} : { component };
  }

  async status(): Promise<AgentStatus> {
    return (await callLocalApi(this.#socket, 'GET', '/status')) as unknown as AgentStatus;
  }

  /** Sentences that describe the current action of the agent, why it waits and until when. */
  async explain(): Promise<string[]> {
    const answer = await callLocalApi(this.#socket, 'GET', '/explain');
    return (answer as { lines: string[] }).lines;
  }

  /**
   * Feeds the gate that widens or halts a rollout.
   * @throws DroverError LOCAL_API_INVALID also for a name that is none of these
   */
  async telemetry(counts: TelemetryCounts): Promise<void> {
    const { tasksCompleted = 0, tasksFailed = 0, crashes = 0, ...others } = counts;
    const [unknown] = Object.keys(others);
    if (unknown !== undefined) {
      const want = 'want tasksCompleted, tasksFailed or crashes';
      throw new DroverError('LOCAL_API_INVALID', `telemetry: no count is ${unknown} (${want})`);
    }
    const body = { tasks_completed: tasksCompleted, tasks_failed: tasksFailed, crashes };
    await this.#post('/telemetry', body);
  }

  /**
   * Says whether this application may be stopped for an update now.
   * @param reason why not, at most 200 characters; shown to the fleet
   * @param holder name of the caller, as in `holdReady`
   */
  async ready(isReady: boolean, reason?: string, holder?: string): Promise<void> {
    const named = holder === undefined ? {} : { holder };
    const why = reason === undefined ? {} : { reason };
    await this.#post('/ready', { ready: isReady, ...why, ...named });
  }

  /**
   * Says that this application may be stopped for as long as it renews that: it is renewed until
   * `release` is called, or this process ends. A lease that lapses before the switch stops it.
   * @throws DroverError LOCAL_API_INVALID for a length out of bounds, and from an older agent
   */
  async holdReady(options: HoldOptions): Promise<ReadyHold> {
    return await ReadyHold.begin((body) => this.#post('/ready', body), options);
  }

  /** Ends probation: this version is well. */
  async confirm(): Promise<void> {
    await this.#post('/confirm', {});
  }

  /** Tries now what failed and waits for another try, also a rollback that is stuck. */
  async retry(): Promise<void> {
    await this.#post('/retry', {});
  }

  /** Lets a version that failed be tried again. */
  async unblock(version: string): Promise<void> {
    await this.#post('/unblock', { version });
  }

  async #post(path: string, body: object): Promise<void> {
    await callLocalApi(this.#socket, 'POST', path, { ...body, ...this.#component });
  }
}
