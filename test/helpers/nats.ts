/**
 * One nats-server with JetStream and its MQTT gateway, on free ports of the loopback. After a
 * restart 2.9.10 may acknowledge messages of QoS 1 and deliver none of them (docs/engines.md). A
 * test that is not about that wants one that delivers, so a server that was started again is tried,
 * and started once more when it is deaf.
 */

import { writeFile } from 'node:fs/promises';
import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { canConnect } from './can-connect.ts';
import { startChild, type Child } from './child.ts';
import { freePort } from './free-port.ts';
import { requirePeer } from './peer.ts';
import { tempFolder } from './temp-folder.ts';
import { waitUntil } from './wait-until.ts';

export interface Nats {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly child: Child;
}

const STARTS_MAX = 4;
const PROBE_MS = 5_000;

interface NatsOptions {
  readonly port?: number;
  /** Of a server that was stopped: this one goes on with what that kept, and delivers QoS 1. */
  readonly folder?: string;
  readonly more?: readonly string[];
}

/** @returns null when nats-server is missing and the test was skipped */
export async function startNats(t: TestContext, options: NatsOptions = {}): Promise<Nats | null> {
  for (let starts = 1; ; starts += 1) {
    const nats = await startNatsOnce(t, options);
    if (!nats || options.folder === undefined || (await delivers(nats.url))) return nats;
    const what = `deaf after start ${starts}\n${nats.child.describe()}`;
    if (starts === STARTS_MAX) throw new Error(`nats-server: ${what}`);
    t.diagnostic(`nats-server ${what}`);
    await nats.child.stop();
  }
}

/** As it comes up, deaf or not. */
async function startNatsOnce(t: TestContext, options: NatsOptions): Promise<Nats | null> {
  const program = requirePeer(t, 'nats-server');
  if (program === null) return null;
  const folder = options.folder ?? (await tempFolder(t));
  const port = options.port ?? (await freePort());
  const path = join(folder, 'test.conf');
  const lines = [
    'server_name: drover-test', // MQTT wants a name
    `listen: 127.0.0.1:${await freePort()}`,

    'write_deadline: "60s"', // a slow reader is not a dead one
    `jetstream { store_dir: "${folder}/jetstream" }`,
    `mqtt { listen: "127.0.0.1:${port}" }`,
    ...(options.more ?? []),
  ];
  await writeFile(path, `${lines.join('\n')}\n`);
  const child = startChild(t, program, ['-c', path], { cwd: folder });
  await waitUntil('nats-server to listen', async () => child.ended !== null || canConnect(port), {
    look: () => child.describe(),
  });
  if (child.ended) throw new Error(`nats-server did not start\n${child.describe()}`);
  return { url: `mqtt://127.0.0.1:${port}`, port, folder, child };
}

/** True when a message with QoS 1 reaches a subscriber with QoS 1. */
async function delivers(url: string): Promise<boolean> {
  let heard = 0;
  const options = { url, clientId: 'test-probe' };
  const onMessage = (): void => void (heard += 1);
  const wire = await connectWire(options, { onMessage }, makeLog('test', 'silent'));
  try {
    await wire.subscribe(['test/probe'], 1);
    await wire.send('test/probe', Buffer.from('probe'), { retain: false, qos: 1 });
    const end = performance.now() + PROBE_MS;
    while (heard === 0 && performance.now() < end) await sleep(50);
    return heard > 0;
  } finally {
    await wire.close();
  }
}
