/**
 * No event is lost or told twice, whatever ends in whatever order: the link, the relay, the broker
 * above. A robot sends as its outbox does (one at a time, again until it is acknowledged); an
 * auditor with a session of its own above writes down all that arrives there.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { DroverError } from '../../shared/base/errors.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { MqttWire } from '../../shared/io/mqtt-wire.ts';
import { encodeMessage, parseRobotEvent } from '../../shared/formats/messages.ts';
import { robotFilter, robotTopic, UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { freePort } from '../helpers/free-port.ts';
import type { Scope } from '../helpers/scope.ts';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.ts';
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

/** Subscribes to all events over a wire that reconnects by itself. */
function audit(scope: Scope, url: string, clientId: string): number[] {
  const seqs: number[] = [];
  const wire: MqttWire = new MqttWire(
    { url, clientId, keepsSession: true },
    {
      onMessage: (topic, payload) => {
        if (topic !== UPDATES_TOPIC) seqs.push(parseRobotEvent(payload).event_seq);
      },
      onUp: () => {
        const filters = [robotFilter('events'), UPDATES_TOPIC];
        void wire.subscribe(filters, 1).catch(() => undefined); // the next connection asks again
      },
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
    // An announcement makes it connect again quickly, as it does for a robot.
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
    let event = eventOf(1);
    while (!this.#isStopped) {
      const topic = robotTopic(ROBOT, 'events');
      try {
        await this.#wire.send(topic, event, { retain: false, qos: 1 });
        this.#seq += 1;
        event = eventOf(this.#seq + 1);
      } catch (error) {
        if (!(error instanceof DroverError)) throw error; // no link: the same event again
      }
      await pause(PAUSE_MS);
    }
  }
}

/** Cloud, link and relay, each of which may end and come back at any time, at its own address. */
class Chain {
  readonly #scope: Scope;
  readonly #site: Site;
  readonly #ports: readonly [number, number];
  readonly #folders: readonly [string, string];
  readonly wan: TcpProxy;
  cloud!: BrokerChild;
  relay!: RelayChild;

  private constructor(scope: Scope, site: Site, parts: Pick<Chain, 'wan'> & ChainParts) {
    this.#scope = scope;
    this.#site = site;
    this.#ports = parts.ports;
    this.#folders = parts.folders;
    this.wan = parts.wan;
  }

  static async open(scope: Scope): Promise<Chain> {
    const site = await Site.open(scope);
    const ports = [await freePort(), await freePort()] as const;
    const folders = [await tempFolder(scope), await tempFolder(scope)] as const;
    const wan = await startTcpProxy(scope, ports[0]);
    const chain = new Chain(scope, site, { ports, folders, wan });
    await chain.startCloud();
    await chain.startRelay();
    const { cloud, relay } = chain;
    await site.publish(cloud.url, await site.bundle('1.0.0'));
    await relay.until('has all', (view) => view.bundles.length === 1 && view.chunks_missing === 0);
    return chain;
  }

  async startCloud(): Promise<void> {
    const [[port], [data]] = [this.#ports, this.#folders];
    this.cloud = await startBrokerChild(this.#scope, { data, port });
  }

  async startRelay(): Promise<void> {
    const [[, port], [, data]] = [this.#ports, this.#folders];
    const upstream = `mqtt://127.0.0.1:${this.wan.port}`;
    const options = { upstream, name: 'site-a', data, port };
    this.relay = await startRelayChild(this.#scope, this.#site, options);
  }

  async endRelay(signal: NodeJS.Signals): Promise<void> {
    this.relay.child.kill(signal);
    await this.relay.child.exit;
    await this.startRelay();
  }

  async killCloud(): Promise<void> {
    this.cloud.child.kill('SIGKILL');
    await this.cloud.child.exit;
    await this.startCloud();
  }

  cut(staysAway = false): void {
    this.wan.refuse(staysAway);
    this.wan.cut();
  }
}

interface ChainParts {
  readonly ports: readonly [number, number];
  readonly folders: readonly [string, string];
}

it('loses no event and tells none twice, in any order of cuts and restarts [P-8.10]', async (t) => {
  const chain = await Chain.open(t);
  const heard = audit(t, chain.cloud.url, 'auditor');
  const sender = new Sender(t, chain.relay.url);
  const more = async (count: number): Promise<void> => {
    const want = sender.acknowledged + count;
    await waitUntil(`${want} events`, () => sender.acknowledged >= want, { timeoutMs: 60_000 });
  };
  const steps: readonly (() => unknown)[] = [
    () => chain.cut(),
    () => chain.endRelay('SIGKILL'),
    () => chain.killCloud(),
    () => chain.cut(true),
    () => chain.endRelay('SIGKILL'), // with everything still on its disk, and nobody above
    () => chain.killCloud(),
    () => chain.wan.refuse(false),
    () => chain.wan.cutAfter(2_000),
    () => chain.endRelay('SIGTERM'), // an orderly end as well
  ];
  await more(20);
  for (const step of steps) {
    await step();
    await more(8);
  }
  const sent = await sender.stop();
  await waitUntil('the last event above', () => heard.includes(sent), {
    timeoutMs: 90_000,
    look: () => `${heard.length} of ${sent}\n${chain.relay.child.describe()}`,
  });
  await chain.relay.until('nothing waits any more', (view) => view.backlog.events === 0);

  const all = Array.from({ length: sent }, (_, at) => at + 1);
  const missing = all.filter((seq) => !heard.includes(seq));
  assert.deepEqual(missing, [], 'lost');
  // A carrier may bring a message again (QoS 1); whoever counts must not.
  const counted = (await eventsOf(chain.cloud, ROBOT)).map((one) => one.event_seq);
  const once = [...new Set(counted)].sort((a, b) => a - b);
  assert.deepEqual(counted, once, 'counted twice');
  assert.ok(counted.length > 0);
});
