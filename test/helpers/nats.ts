/** One nats-server with JetStream and its MQTT gateway, on free ports of the loopback. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
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

/** @returns null when nats-server is missing and the test was skipped */
export async function startNats(
  t: TestContext,
  options: { port?: number; folder?: string; more?: readonly string[] } = {},
): Promise<Nats | null> {
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
