/**
 * Two publishers at one moment: the second one gets a refusal, and nothing of the first is lost.
 */

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { AnnouncementBoard } from '../../../publisher/rollout/announcements.ts';
import { BrokerLink } from '../../../publisher/transfer/broker-link.ts';
import type { Log } from '../../../shared/base/ports.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { startMosquitto } from '../../helpers/mosquitto.ts';
import { startTcpProxy } from '../../helpers/tcp-proxy.ts';

const fleet = makeFleet();
const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };

async function openBoard(t: TestContext, port: number): Promise<AnnouncementBoard> {
  const link = await BrokerLink.open({ url: `mqtt://127.0.0.1:${port}` }, QUIET);
  t.after(() => link.close());
  return await AnnouncementBoard.open(link);
}

test('an announcement that came in between is a conflict, and stays', async (t) => {
  const mosquitto = await startMosquitto(t);
  if (!mosquitto) return;
  const [ours, theirs] = [await openBoard(t, mosquitto.port), await openBoard(t, mosquitto.port)];
  const first = fleet.announce(1, []);
  await theirs.replace(null, first);
  await assert.rejects(ours.replace(null, fleet.announce(2, [])), { code: 'SEQ_CONFLICT' });
  await ours.replace(first, fleet.announce(2, []));
  const late = await openBoard(t, mosquitto.port);
  assert.deepEqual(late.current, fleet.announce(2, []));
});

test('an announcement whose acknowledgement was lost is found to be there', async (t) => {
  const mosquitto = await startMosquitto(t);
  if (!mosquitto) return;
  const proxy = await startTcpProxy(t, mosquitto.port);
  const board = await openBoard(t, proxy.port);
  proxy.cutAfter(1); // the PUBACK, or the echo before it, breaks off
  await board.replace(null, fleet.announce(1, []));
  const late = await openBoard(t, mosquitto.port);
  assert.deepEqual(late.current, fleet.announce(1, []));
});
