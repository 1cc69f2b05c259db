/** A report that cannot be sent never changes the outcome of an install: it is sent later. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIMITS } from '../../shared/base/limits.ts';
import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

interface Told {
  readonly event_seq: number;
  readonly event: string;
  readonly to: string;
  readonly target_version: string | null;
}

describe('the reports of an install', () => {
  it('wait while the broker is away, then arrive in order and once each', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const proxy = await startTcpProxy(t, broker.port);
    const robot = site.robot('r1', `mqtt://127.0.0.1:${proxy.port}`);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await robot.call('/ready', { ready: false, reason: 'not yet' });
    await site.publish(broker.url, await site.bundle('1.1.0'));
    await robot.until('waits', (s) => s.phase === 'waiting' && s.waiting_for !== null);
    proxy.refuse(true);
    proxy.cut();
    await robot.call('/ready', { ready: true });
    const status = await robot.runs('1.1.0');
    assert.equal(status.last_error, null);
    const told = async (): Promise<Told[]> => {
      const answer = await fetch(`${broker.httpUrl}/robots/r1`);
      const { events } = (await answer.json()) as { events: Told[] };
      return events;
    };
    const before = (await told()).filter((one) => one.target_version === '1.1.0');
    assert.ok(!before.some((one) => one.event === 'swapped'), 'the broker cannot know yet');

    proxy.refuse(false);
    const all = await waitUntil(
      'the last event to arrive',
      async () => {
        const events = (await told()).toSorted((a, b) => a.event_seq - b.event_seq);
        return events.some((one) => one.event === 'healthy' && one.target_version === '1.1.0')
          ? events
          : null;
      },
      { timeoutMs: LIMITS.reconnectMsMax + 10_000 },
    );
    assert.deepEqual(
      all.map((one) => one.event_seq),
      all.map((_, at) => at + 1),
      'every number once, no gap',
    );
    const update = all.filter((one) => one.target_version === '1.1.0').map((one) => one.to);
    assert.deepEqual(update.slice(-3), ['swapping', 'probation', 'idle']);
  });
});
