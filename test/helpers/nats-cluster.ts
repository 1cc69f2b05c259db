/** Three nats-servers that carry one fleet together, from the configuration in examples/. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { startChild, type Child } from './child.ts';
import { freePort } from './free-port.ts';
import { requirePeer } from './peer.ts';
import { findRepository } from './repository.ts';
import { tempFolder } from './temp-folder.ts';
import { waitUntil } from './wait-until.ts';

const NODES = 3;
const REPOSITORY = findRepository(import.meta.dirname);

export interface NatsNode {
  readonly url: string;
  readonly port: number;
  readonly child: Child;
}

export interface NatsCluster {
  /** All nodes, with commas. */
  readonly url: string;
  /** Of the first node. */
  readonly port: number;
  readonly nodes: readonly NatsNode[];
}

/** They agree on who leads when it resolves. @returns null when the test was skipped */
export async function startNatsCluster(t: TestContext): Promise<NatsCluster | null> {
  const program = requirePeer(t, 'nats-server');
  if (program === null) return null;
  const folder = await tempFolder(t);
  const ports: { mqtt: number; nats: number; cluster: number }[] = [];
  for (let at = 0; at < NODES; at += 1) {
    ports.push({ mqtt: await freePort(), nats: await freePort(), cluster: await freePort() });
  }
  const routes = ports.map(({ cluster }) => `nats-route://127.0.0.1:${cluster}`);
  const config = join(REPOSITORY, 'examples/nats-cluster/node.conf');
  const nodes: NatsNode[] = [];
  for (const [at, { mqtt, nats, cluster }] of ports.entries()) {
    const name = `n${at + 1}`;
    await mkdir(join(folder, name));
    const env = {
      DROVER_NODE: name,
      DROVER_NATS: `"127.0.0.1:${nats}"`,
      DROVER_STORE: `"${join(folder, name)}"`,
      DROVER_CLUSTER: `"127.0.0.1:${cluster}"`,
      DROVER_ROUTES: `["${routes.join('", "')}"]`,
      DROVER_MQTT: `"127.0.0.1:${mqtt}"`,
    };
    const child = startChild(t, program, ['-c', config], { cwd: folder, env });
    nodes.push({ url: `mqtt://127.0.0.1:${mqtt}`, port: mqtt, child });
  }
  await waitUntil(
    'the nodes to choose who leads',
    () => nodes.some(leads) && nodes.every(listens),
    {
      timeoutMs: 60_000,
      look: () => nodes.map(({ child }) => child.describe()).join('\n'),
    },
  );
  const [first] = nodes as [NatsNode];
  return { url: nodes.map(({ url }) => url).join(','), port: first.port, nodes };
}

const leads = ({ child }: NatsNode): boolean => /metadata leader/.test(child.stdout + child.stderr);
const listens = ({ child }: NatsNode): boolean => /MQTT/.test(child.stdout + child.stderr);
