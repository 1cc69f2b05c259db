/** RabbitMQ of Debian with MQTT, on free ports of the loopback, in a folder of its own. */

import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { canConnect } from './can-connect.ts';
import { startChild } from './child.ts';
import { freePort } from './free-port.ts';
import { requirePeer } from './peer.ts';
import { tempFolder } from './temp-folder.ts';
import { waitUntil } from './wait-until.ts';

const START_MS = 60_000;

/** @returns its URL; null when it is missing and the test was skipped */
export async function startRabbitMq(t: TestContext): Promise<string | null> {
  const program = requirePeer(t, '/usr/lib/rabbitmq/bin/rabbitmq-server');
  if (program === null) return null;
  const [folder, port] = [await tempFolder(t), await freePort()];
  const at = (name: string): string => join(folder, name);
  const config = ['listeners.tcp = none', `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`];
  await writeFile(at('rabbitmq.conf'), `${config.join('\n')}\nmqtt.allow_anonymous = true\n`);
  await writeFile(at('enabled_plugins'), '[rabbitmq_mqtt].');
  const env = {
    HOME: folder,
    RABBITMQ_NODENAME: `trial${port}@localhost`,
    RABBITMQ_CONFIG_FILE: at('rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: at('enabled_plugins'),
    RABBITMQ_MNESIA_BASE: at('mnesia'),
    RABBITMQ_LOG_BASE: at('log'),
    RABBITMQ_PID_FILE: at('pid'),
    RABBITMQ_DIST_PORT: String(await freePort()),
    ERL_EPMD_PORT: String(await freePort()),
  };
  const child = startChild(t, program, [], { env, cwd: folder });
  t.after(() => void spawnSync('epmd', ['-kill'], { env: { ...process.env, ...env } }));
  return await listens(child, port);
}

async function listens(child: ReturnType<typeof startChild>, port: number): Promise<string> {
  await waitUntil('it to listen', async () => child.ended !== null || (await canConnect(port)), {
    timeoutMs: START_MS,
    look: () => child.describe(),
  });
  if (child.ended) throw new Error(`it did not start\n${child.describe()}`);
  return `mqtt://127.0.0.1:${port}`;
}
