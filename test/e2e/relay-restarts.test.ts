/**
 * No event is lost or told twice, whatever ends in whatever order: the link, the relay, the broker
 * above. A robot sends as its outbox does (one at a time, again until it is acknowledged); an
 * auditor with a session of its own above writes down all that arrives there.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { DroverError } from '../../shared/errors.ts';
import { parseRobotId } from '../../shared/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { MqttWire } from '../../shared/io/mqtt-wire.ts';
import { encodeMessage, parseRobotEvent } from '../../shared/messages.ts';
import { robotFilter, robotTopic, UPDATES_TOPIC } from '../../shared/topics.ts';
import { freePort } from '../helpers/free-port.ts';
import type { Scope } from '../helpers/scope.ts';
import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { eventsOf, startRelayChild, type RelayChild } from './relay-child.ts';
import { Site } from './site.ts';

const ROBOT = parseRobotId('r1');
const LOG = makeLog('test', 'silent');
const PAUSE_MS = 15;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const eventOf = (seq: number): Uint8Array =>
  encodeMessage({
    ...{ robot_id: ROBOT, event_seq: seq, at: new Date().toISOString(), component: 'app' },
    ...{ from: 'idle', to: 'checking', event: 'test' },
  });

/** A wire that is up again by itself, for somebody who wants to hear everything. */
function audit(scope: Scope, url: string, clientId: string): number[] {
  const seqs: number[] = [];
  const wire: MqttWire = new MqttWire(
    { url, clientId, keepsSession: true },
    {
      onMessage: (topic, payload) => {
        if (topic !== UPDATES_TOPIC) seqs.push(parseRobotEvent(payload).event_seq);
      },
      onUp: () =>
        void wire.subscribe([robotFilter('events'), UPDATES_TOPIC], 1).catch(() => undefined),
    },
    LOG,
  );
  scope.after(() => wire.close());
  return seqs;
}

class Sender {
  readonly #wire: MqttWire;
  #isStopped = false;
  #seq = 0;
  readonly #done: Promise<void>;

  constructor(scope: Scope, url: string) {
    // What is announced makes it come back quickly, as it does for a robot.
    const onUp = (): void => void this.#wire.subscribe([UPDATES_TOPIC], 1).catch(() => undefined);
    this.#wire = new MqttWire({ url, clientId: 'robot-r1' }, { onMessage: () => {}, onUp }, LOG);
    scope.after(async () => {
      this.#isStopped = true;
      await this.#wire.close();
    });
    this.#done = this.#run();
  }

  get acknowledged(): number {
    return this.#seq;
  }

  /** @returns how many were acknowledged */
  async stop(): Promise<number> {
    this.#isStopped = true;
    await this.#done;
    return this.#seq;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const event = eventOf(this.#seq + 1);
      const topic = robotTopic(ROBOT, 'events');
      try {
        await this.#wire.send(topic, event, { retain: false, qos: 1 });
        this.#seq += 1;
      } catch (error) {
        if (!(error instanceof DroverError)) throw error; // no link: the same event again
      }
      await pause(PAUSE_MS);
    }
  }
}

it('loses no event and tells none twice, in any order of cuts and restarts', async (t) => {
  const site = await Site.open(t);
  const [cloudPort, relayPort] = [await freePort(), await freePort()];
  const [cloudData, relayData] = [await tempFolder(t), await tempFolder(t)];
  const startCloud = (): Promise<BrokerChild> =>
    startBrokerChild(t, { data: cloudData, port: cloudPort });
  let cloud = await startCloud();
  const wan = await startTcpProxy(t, cloudPort);
  const upstream = `mqtt://127.0.0.1:${wan.port}`;
  const startRelay = (): Promise<RelayChild> =>
    startRelayChild(t, site, { upstream, name: 'site-a', data: relayData, port: relayPort });
  let relay = await startRelay();

  await site.publish(cloud.url, await site.bundle('1.0.0'));
  await relay.until('has all', (view) => view.bundles.length === 1 && view.chunks_missing === 0);
  const heard = audit(t, cloud.url, 'auditor');
  const sender = new Sender(t, relay.url);
  const more = async (count: number): Promise<void> => {
    const want = sender.acknowledged + count;
    await waitUntil(`${want} events`, () => sender.acknowledged >= want, { timeoutMs: 60_000 });
  };
  const killRelay = async (): Promise<void> => {
    relay.child.kill('SIGKILL');
    await relay.child.exit;
    relay = await startRelay();
  };
  const killCloud = async (): Promise<void> => {
    cloud.child.kill('SIGKILL');
    await cloud.child.exit;
    cloud = await startCloud();
  };
  const steps: readonly (() => unknown)[] = [
    () => wan.cut(),
    killCloud,
    killRelay,
    () => wan.refuse(true),
    () => wan.cut(),
    killRelay, // with everything still on its disk, and nobody above
    killCloud,
    () => wan.refuse(false),
    () => wan.cutAfter(2_000),
    killCloud,
    killRelay,
    async () => {
      relay.child.kill('SIGTERM'); // an orderly end as well
      await relay.child.exit;
      relay = await startRelay();
    },
  ];
  await more(20);
  for (const step of steps) {
    await step();
    await more(10);
  }
  const sent = await sender.stop();
  await waitUntil('the last event above', () => (heard.includes(sent) ? true : null), {
    timeoutMs: 90_000,
    look: () => `${heard.length} of ${sent}\n${relay.child.describe()}`,
  });
  await relay.until('nothing waits any more', (view) => view.backlog.events === 0);

  const all = Array.from({ length: sent }, (_, at) => at + 1);
  const missing = all.filter((seq) => !heard.includes(seq));
  assert.deepEqual(missing, [], 'lost');
  // A carrier may bring a message again (QoS 1); whoever counts must not.
  const counted = (await eventsOf(cloud, ROBOT)).map((one) => one.event_seq);
  assert.deepEqual(
    counted,
    [...new Set(counted)].sort((a, b) => a - b),
    'counted twice',
  );
  assert.ok(counted.length > 0);
});
