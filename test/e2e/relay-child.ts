/** Starts a site relay as a real process, and reads the state of its upstream link from its API. */

import type { UpstreamView } from '../../broker/relay/relay-view.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import type { Site } from './site.ts';

export interface ApiRobot {
  readonly robot_id: string;
  readonly version: string | null;
  readonly phase: string;
  readonly online: boolean;
  readonly via: string | null;
  readonly via_problem: { readonly code: string } | null;
}

export interface ApiEvent {
  readonly event_seq: number;
  readonly event: string;
}

export interface RelayChild extends BrokerChild {
  /** Waits until the way up looks like that, and returns it. */
  until(what: string, holds: (view: UpstreamView) => boolean): Promise<UpstreamView>;
}

export async function startRelayChild(
  scope: Scope,
  site: Site,
  options: {
    upstream: string;
    name: string;
    data?: string;
    port?: number;
    httpPort?: number;
    args?: readonly string[];
  },
): Promise<RelayChild> {
  const { upstream, name, args = [], ...more } = options;
  const way = ['--upstream', upstream, '--upstream-name', name];
  const broker = await startBrokerChild(scope, {
    ...more,
    args: [...way, '--trust', site.path('trust.json'), ...args],
  });
  const until: RelayChild['until'] = async (what, holds) => {
    let last: unknown;
    return await waitUntil(
      `${name}: ${what}`,
      async () => {
        const view = await upstreamOf(broker);
        last = view;
        return holds(view) ? view : null;
      },
      { timeoutMs: 40_000, look: () => `${JSON.stringify(last)}\n${broker.child.describe()}` },
    );
  };
  return { ...broker, until };
}

export async function getJson<T>(broker: BrokerChild, path: string): Promise<T> {
  const response = await fetch(`${broker.httpUrl}${path}`);
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

export async function upstreamOf(broker: BrokerChild): Promise<UpstreamView> {
  return (await getJson<{ upstream: UpstreamView }>(broker, '/upstream')).upstream;
}

export async function robotsOf(broker: BrokerChild): Promise<readonly ApiRobot[]> {
  return (await getJson<{ robots: ApiRobot[] }>(broker, '/robots')).robots;
}

export async function eventsOf(broker: BrokerChild, robot: string): Promise<readonly ApiEvent[]> {
  return (await getJson<{ events: ApiEvent[] }>(broker, `/robots/${robot}`)).events;
}

/** Waits until a broker shows a robot like that. */
export async function untilRobot(
  broker: BrokerChild,
  id: string,
  holds: (robot: ApiRobot) => boolean,
): Promise<ApiRobot> {
  let last: unknown;
  return await waitUntil(
    `${id} to be as expected at ${broker.url}`,
    async () => {
      const robots = await robotsOf(broker);
      last = robots.find((one) => one.robot_id === id) ?? null;
      const robot = last as ApiRobot | null;
      return robot && holds(robot) ? robot : null;
    },
    { timeoutMs: 40_000, look: () => `${JSON.stringify(last)}\n${broker.child.describe()}` },
  );
}
