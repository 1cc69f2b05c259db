/** Reads what a broker retains for a fleet, over one MQTT connection. It publishes nothing. */

import type { Log } from '../../shared/base/ports.ts';
import {
  LEASE_TOPIC,
  parseTopic,
  RELAY_FILTER,
  robotFilter,
  TRUST_FILTER,
  UPDATES_TOPIC,
} from '../../shared/formats/topics.ts';
import { FleetView } from '../rollout/fleet-report.ts';
import { Subscription } from '../rollout/subscription.ts';
import { BrokerLink, type BrokerLinkOptions } from '../transfer/broker-link.ts';
import { factOf, unknown, type BrokerFacts, type ControlFacts, type RobotsFacts } from './facts.ts';

export const noBroker = (why: string): BrokerFacts => ({
  ...{ login: unknown(why), control: unknown(why), robots: unknown(why) },
});

export async function readBroker(options: BrokerLinkOptions, log: Log): Promise<BrokerFacts> {
  const opened = await factOf(() => BrokerLink.open(options, log));
  if (opened.kind !== 'known') {
    return { ...noBroker('there is no login at the broker'), login: opened };
  }
  const link = opened.value;
  try {
    const [control, robots] = await Promise.all([
      factOf(() => readControl(link)),
      factOf(() => readRobots(link)),
    ]);
    const username = options.username ?? null;
    return { login: { kind: 'known', value: { username } }, control, robots };
  } finally {
    await link.close();
  }
}

async function readControl(link: BrokerLink): Promise<ControlFacts> {
  const trustVersions = new Set<number>();
  let announcement: Uint8Array | null = null;
  let lease: Uint8Array | null = null;
  const subscription = await Subscription.open(link, {
    filters: [UPDATES_TOPIC, LEASE_TOPIC, TRUST_FILTER],
    onMessage: (topic, payload) => {
      const parsed = parseTopic(topic);
      const bytes = payload.byteLength === 0 ? null : payload.slice();
      if (parsed?.kind === 'updates') announcement = bytes;
      if (parsed?.kind === 'lease') lease = bytes;
      if (parsed?.kind === 'trust' && bytes) trustVersions.add(parsed.version);
    },
  });
  await subscription.settle();
  subscription.close();
  return { announcement, lease, trustVersions: [...trustVersions] };
}

async function readRobots(link: BrokerLink): Promise<RobotsFacts> {
  const view = new FleetView();
  const subscription = await Subscription.open(link, {
    filters: [robotFilter('state'), robotFilter('online'), RELAY_FILTER],
    onMessage: (topic, payload) => view.take(topic, payload),
  });
  const isWhole = await subscription.settle();
  subscription.close();
  return { rows: view.rows, invalid: view.invalid.length, isWhole };
}
