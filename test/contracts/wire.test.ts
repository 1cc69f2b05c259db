/**
 * The contract of a wire, over each engine: what robots, publishers and attached brokers rely on
 * when they send, subscribe and wait.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { DroverError } from '../../shared/base/errors.ts';
import type { Wire } from '../../shared/base/ports.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { MqttWire } from '../../shared/io/mqtt-wire.ts';
import type { Child } from '../helpers/child.ts';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { startNats } from '../helpers/nats.ts';
import { waitUntil } from '../helpers/wait-until.ts';

interface Engine {
  readonly url: string;
  stop(): Promise<void>;
}

const stoppable = (peer: { readonly url: string; readonly child: Child } | null): Engine | null =>
  peer && {
    url: peer.url,
    stop: async () => {
      peer.child.kill('SIGKILL');
      await peer.child.exit;
    },
  };

const ENGINES: Readonly<Record<string, (t: TestContext) => Promise<Engine | null>>> = {
  'our broker': async (t) => stoppable(await startBrokerChild(t)),
  mosquitto: async (t) => stoppable(await startMosquitto(t)),
  NATS: async (t) => stoppable(await startNats(t)),
};

interface Heard {
  readonly wire: Wire;
  readonly messages: {
    readonly topic: string;
    readonly text: string;
    readonly isRetained: boolean;
  }[];
  /** The number of times that it came up and went down. */
  readonly turns: { up: number; down: number };
}

async function connect(t: TestContext, url: string, clientId: string): Promise<Heard> {
  const messages: Heard['messages'] = [];
  const turns = { up: 0, down: 0 };
  const wire = new MqttWire(
    { url, clientId },
    {
      onMessage: (topic, payload, isRetained) =>
        void messages.push({ topic, text: Buffer.from(payload).toString(), isRetained }),
      onUp: () => void (turns.up += 1),
      onDown: () => void (turns.down += 1),
    },
    makeLog('test', 'silent'),
  );
  t.after(() => wire.close());
  await waitUntil('the wire to be up', () => wire.isUp);
  return { wire, messages, turns };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const KEPT = { retain: true, qos: 1 } as const;
const SAID = { retain: false, qos: 1 } as const;

for (const [name, start] of Object.entries(ENGINES)) {
  describe(`a wire over ${name}`, () => {
    it('delivers messages in order to a subscriber, and retained ones to a later subscriber', async (t) => {
      const engine = await start(t);
      if (!engine) return;
      const [a, b] = [await connect(t, engine.url, 'a'), await connect(t, engine.url, 'b')];
      await b.wire.subscribe(['fleet/robots/+/events'], 1);
      for (let at = 0; at < 20; at += 1) {
        await a.wire.send('fleet/robots/r1/events', bytes(`e${at}`), SAID);
      }
      await waitUntil('all of them', () => b.messages.length >= 20);
      const want = Array.from({ length: 20 }, (_, at) => `e${at}`);
      assert.deepEqual(
        b.messages.map(({ text }) => text),
        want,
      );
      assert.ok(b.messages.every(({ isRetained }) => !isRetained));

      await a.wire.send('fleet/robots/r1/online', bytes('{"online":true}'), KEPT);
      const late = await connect(t, engine.url, 'late');
      await late.wire.subscribe(['fleet/robots/+/online'], 1);
      await waitUntil('what is kept', () => late.messages.length === 1);
      assert.deepEqual(late.messages[0], {
        ...{ topic: 'fleet/robots/r1/online', text: '{"online":true}', isRetained: true },
      });
    });

    // Robots ask for their orders again like this, in case an engine forgot to whom it delivers.
    it('brings what is kept to each repeated subscription, and what is said meanwhile', async (t) => {
      const engine = await start(t);
      if (!engine) return;
      const [a, b] = [await connect(t, engine.url, 'a'), await connect(t, engine.url, 'b')];
      await a.wire.send('fleet/robots/r1/online', bytes('{"online":true}'), KEPT);
      const filters = ['fleet/robots/+/online', 'fleet/robots/r1/events'];
      const handed = (): number => b.messages.filter(({ isRetained }) => isRetained).length;
      let said = 0;
      for (let asked = 1; asked <= 5; asked += 1) {
        const asking = b.wire.subscribe(filters, 1);
        // The first one is there before anything is said: nothing may be missed from then on.
        if (asked === 1) await asking;
        for (let more = 0; more < 10; more += 1, said += 1)
          await a.wire.send('fleet/robots/r1/events', bytes(`e${said}`), SAID);
        await asking;
        await waitUntil('what is kept', () => handed() >= asked);
      }
      const heard = (): Set<string> => new Set(b.messages.map(({ text }) => text));
      await waitUntil('all that was said', () => heard().size === said + 1);
    });

    it('brings nothing any more after an unsubscription, and ends once', async (t) => {
      const engine = await start(t);
      if (!engine) return;
      const [a, b] = [await connect(t, engine.url, 'a'), await connect(t, engine.url, 'b')];
      await b.wire.subscribe(['fleet/robots/r1/events', 'fleet/robots/r2/events'], 1);
      await b.wire.unsubscribe(['fleet/robots/r1/events']);
      await a.wire.send('fleet/robots/r1/events', bytes('no'), SAID);
      await a.wire.send('fleet/robots/r2/events', bytes('yes'), SAID);
      await waitUntil('the other one', () => b.messages.length > 0);
      assert.deepEqual(
        b.messages.map(({ text }) => text),
        ['yes'],
      );
      await b.wire.close();
      await b.wire.close();
      assert.equal(b.wire.isUp, false);
      await assert.rejects(b.wire.send('fleet/robots/r2/events', bytes('x'), SAID), {
        code: 'BROKER_UNREACHABLE',
      });
    });

    it('says why it is down: as its owner ended the link, or as the engine died, and rejects what was under way', async (t) => {
      const engine = await start(t);
      if (!engine) return;
      const { wire, turns } = await connect(t, engine.url, 'a');
      assert.deepEqual(turns, { up: 1, down: 0 });
      wire.renew?.(new DroverError('LINK_RENEWED', 'connect again: the certificate is new'));
      await waitUntil('the wire to be down', () => turns.down === 1);
      assert.equal(wire.lastError?.code, 'LINK_RENEWED');
      await waitUntil('the wire to be up again', () => wire.isUp);
      assert.deepEqual([turns.up, wire.lastError], [2, null]);
      await engine.stop();
      await waitUntil('the wire to be down', () => !wire.isUp);
      assert.equal(turns.down, 2);
      await assert.rejects(wire.send('fleet/robots/r1/events', bytes('x'), SAID), {
        code: 'BROKER_UNREACHABLE',
      });
      await assert.rejects(wire.subscribe(['fleet/updates'], 1), { code: 'BROKER_UNREACHABLE' });
    });
  });
}
