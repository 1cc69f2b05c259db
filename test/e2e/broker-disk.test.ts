/**
 * A broker whose disk takes no more: it says so, serves what it has, and when there is room again
 * every message that it then acknowledges is there after a SIGKILL. LevelDB alone does not do that.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import mqtt from 'mqtt';
import { describe, it, type TestContext } from 'node:test';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { requirePeer } from '../helpers/peer.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';

const quiet = makeLog('test', 'silent');
const LOG_BYTES = 60_000;
const REFUSED: Readonly<Record<'state' | 'events', readonly unknown[]>> = {
  state: ['DISK_WRITE_FAILED'],
  events: ['DISK_WRITE_FAILED', 'BROKER_UNREACHABLE'],
};

async function open(
  t: TestContext,
  broker: BrokerChild,
  clientId: string,
  onMessage: (topic: string, payload: Uint8Array) => void = () => {},
): Promise<Wire> {
  // Robots have a will, which Aedes stores before it lets them in.
  const will = { topic: 'fleet/robots/gone/online', payload: new Uint8Array([1]), retain: true };
  const link = { url: broker.url, clientId, will, listenForRefusals: true };
  const wire = await connectWire(link, { onMessage }, quiet);
  t.after(() => wire.close());
  return wire;
}

/** Of a session that stays; events that come while it is away wait for it. */
async function auditor(t: TestContext, broker: BrokerChild, seen: Set<string>): Promise<void> {
  const options = { clientId: 'auditor', clean: false, reconnectPeriod: 0 };
  const client = mqtt.connect(broker.url, options);
  t.after(() => client.endAsync(true));
  client.on('message', (_topic, payload) => seen.add(payload.toString('latin1', 0, 8)));
  await new Promise<void>((resolve) => client.once('connect', () => resolve()));
  await client.subscribeAsync('fleet/robots/+/events', { qos: 1 });
  if (seen.size === 0) await client.endAsync();
}

async function health(broker: BrokerChild): Promise<number> {
  return (await fetch(`${broker.httpUrl}/healthz`)).status;
}

describe('a broker whose disk takes no more', () => {
  it('says so, serves on, and loses nothing that it acknowledges afterwards', async (t) => {
    const prlimit = requirePeer(t, 'prlimit');
    if (prlimit === null) return;
    const first = await startBrokerChild(t);
    await auditor(t, first, new Set());
    const limit = (soft: string): void => {
      execFileSync(prlimit, ['--pid', String(first.child.pid), `--fsize=${soft}:`]);
    };
    const wire = await open(t, first, 'sender');
    const states: string[] = [];
    const events: string[] = [];
    const send = async (what: 'state' | 'events', name: string): Promise<void> => {
      const payload = Buffer.concat([Buffer.from(name.padEnd(8)), randomBytes(3_000)]);
      await wire.send(`fleet/robots/${name}/${what}`, payload, {
        retain: what === 'state',
        qos: 1,
      });
      (what === 'state' ? states : events).push(name);
    };
    limit(String(LOG_BYTES));
    for (const what of ['state', 'events'] as const) {
      const fill = async (): Promise<void> => {
        for (let at = 0; at < 100; at += 1) await send(what, `${what}-${at}`);
      };
      // An event that is in the journal and finds no room in a queue is acknowledged: the
      // connection ends, and the queue gets it at the next start.
      await assert.rejects(fill(), ({ code }: { code?: string }) => REFUSED[what].includes(code));
    }
    assert.ok(states.length > 5 && events.length > 2, `${states.length}, ${events.length}`);
    assert.equal(await health(first), 503);
    const told = await (await fetch(`${first.httpUrl}/healthz`)).text();
    assert.match(told, /"healthy":false,"problems":\[{"code":"DISK_WRITE_FAILED",.*"hint":/);
    await assertServed(t, first, states);

    limit('unlimited');
    await waitUntil('the broker to notice the room', async () => (await health(first)) === 200);
    await waitUntil('the link to be up', () => wire.isUp);
    for (const at of [1, 2, 3]) {
      await send('state', `late-${at}`);
      await send('events', `news-${at}`);
    }
    first.child.kill('SIGKILL');
    await first.child.exit;
    const second = await startBrokerChild(t, { data: first.data });
    await assertServed(t, second, states);
    const seen = new Set(['(back)']);
    await auditor(t, second, seen);
    await waitUntil('every acknowledged event', () =>
      events.every((name) => seen.has(name.padEnd(8))),
    );
  });
});

/** A reader that comes now gets the state of each of these. */
async function assertServed(
  t: TestContext,
  broker: BrokerChild,
  names: readonly string[],
): Promise<void> {
  const got = new Set<string>();
  const onMessage = (topic: string): void => void got.add(topic.split('/')[2] ?? '');
  const reader = await open(t, broker, `reader-${randomBytes(3).toString('hex')}`, onMessage);
  await reader.subscribe(['fleet/robots/+/state'], 1);
  await waitUntil('every acknowledged state', () => names.every((name) => got.has(name)), {
    look: () => `lost: ${names.filter((name) => !got.has(name)).join(' ')}`,
  });
  await reader.close();
}
