/** Starts `drover-broker --engine` as a real process, and reads its API. */

import { join } from 'node:path';
import { startDrover, type Child, type ChildOptions } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import type { StoreView } from '../../broker/attached/store-state.ts';
import type { EngineView } from '../../broker/mqtt/engine-port.ts';
import type { AuditEntry, RunView } from '../../broker/rollout/rollout-view.ts';
import type { Site } from './site.ts';

export interface ApiRollout {
  readonly id: string;
  readonly status: string;
  readonly store?: StoreView;
  readonly run: RunView | null;
}

export interface ApiRobot {
  readonly robot_id: string;
  readonly version: string | null;
  readonly phase: string;
  readonly online: boolean;
  readonly last_seen: string | null;
}

/** Short times, so that a takeover fits into a test; the defaults are a minute each. */
const TIMES = ['--lease', '8s', '--controller-start', '1s'];

interface AttachedOptions {
  readonly engine: string;
  readonly data: string;
  readonly args?: readonly string[];
  readonly leads?: boolean;
  /** Of `withClock`. */
  readonly clock?: Pick<ChildOptions, 'under' | 'env'>;
}

export class AttachedChild {
  readonly child: Child;
  #url = '';

  private constructor(child: Child) {
    this.child = child;
  }

  /** Attached when it resolves. */
  static async start(scope: Scope, site: Site, options: AttachedOptions): Promise<AttachedChild> {
    const child = AttachedChild.spawn(scope, site, options);
    const attached = new AttachedChild(child);
    const [line] = await child.waitForOutput(/^\{"engine":.*\}$/m, 40_000);
    attached.#url = `http://127.0.0.1:${(JSON.parse(line) as { http: number }).http}`;
    return attached;
  }

  static spawn(scope: Scope, site: Site, options: AttachedOptions): Child {
    const { engine, data, args = [], leads = true, clock = {} } = options;
    const lead = leads ? ['--rollout-key', site.path('rollout.key'), ...TIMES] : [];
    const all = [
      ...['--engine', engine, '--data', join(site.folder, data), '--http', '0', '--json'],
      ...['--trust', site.path('trust.json'), ...lead, ...args],
    ];
    return startDrover(scope, 'broker', all, clock);
  }

  get url(): string {
    return this.#url;
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.#url}${path}`);
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  async metrics(): Promise<string> {
    return await (await fetch(`${this.#url}/metrics`)).text();
  }

  async say(rollout: string, word: string): Promise<void> {
    const response = await fetch(`${this.#url}/rollouts/${rollout}/${word}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ by: 'test', reason: 'test' }),
    });
    if (!response.ok) throw new Error(`${word}: ${response.status} ${await response.text()}`);
  }

  /** Waits for the gate of the wave: an approval that comes earlier is refused. */
  async approve(rollout: string): Promise<void> {
    await waitUntil(
      `an approval of ${rollout} to be taken`,
      async () => {
        try {
          await this.say(rollout, 'approve');
          return true;
        } catch (error) {
          if (String(error).includes('APPROVAL_TOO_EARLY')) return false;
          throw error;
        }
      },
      { timeoutMs: 60_000, look: () => this.child.describe() },
    );
  }

  async engine(): Promise<EngineView> {
    return (await this.get<{ engine: EngineView }>('/engine')).engine;
  }

  async robots(): Promise<readonly ApiRobot[]> {
    return (await this.get<{ robots: ApiRobot[] }>('/robots')).robots;
  }

  async history(rollout: string): Promise<readonly AuditEntry[]> {
    return (await this.get<{ entries: AuditEntry[] }>(`/rollouts/${rollout}/history`)).entries;
  }

  async events(robot: string): Promise<readonly { event_seq: number; event: string }[]> {
    const { events } = await this.get<{ events: { event_seq: number; event: string }[] }>(
      `/robots/${robot}`,
    );
    return events;
  }

  /** Waits until a rollout looks like that, and returns it. */
  async until(
    rollout: string,
    what: string,
    holds: (view: ApiRollout) => boolean,
  ): Promise<ApiRollout> {
    let last: unknown;
    return await waitUntil(
      `${rollout}: ${what}`,
      async () => {
        const view = await this.get<ApiRollout>(`/rollouts/${rollout}`);
        last = view;
        return holds(view) ? view : null;
      },
      { timeoutMs: 60_000, look: () => `${JSON.stringify(last)}\n${this.child.describe()}` },
    );
  }
}
