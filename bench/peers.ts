/**
 * The programs that a benchmark compares, each at its best setting, on a port and in a folder of
 * its own. All are stopped with the scope that started them.
 */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { canConnect } from '../test/helpers/can-connect.ts';
import { startChild, type Child } from '../test/helpers/child.ts';
import { freePort } from '../test/helpers/free-port.ts';
import { findPeer } from '../test/helpers/peer.ts';
import type { Scope } from '../test/helpers/scope.ts';
import { waitUntil } from '../test/helpers/wait-until.ts';
import { readProcessStats, type ProcessStats } from './process-stats.ts';
import { REPOSITORY } from './results.ts';

export interface Peer {
  readonly name: string;
  readonly port: number;
  /** CPU and memory of the server and its workers so far. */
  stats(): Promise<ProcessStats>;
  stop(): Promise<void>;
}

/** One worker for each core, no log, whole files straight from the page cache. */
const nginxConfig = (port: number, folder: string): string => `
user root;
daemon off;
worker_processes 2;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 16384; }
http {
  access_log off;
  sendfile on;
  sendfile_max_chunk 512k;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000;
  open_file_cache max=10000;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server { listen 127.0.0.1:${port}; root ${folder}/files; }
}
`;

/** Without persistence, which it would write its whole memory for. */
const mosquittoConfig = (port: number): string => `
user root
listener ${port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
max_connections -1
log_type none
`;

/** Serves what is in `<folder>/files`. */
export async function startNginx(scope: Scope, folder: string): Promise<Peer> {
  const port = await freePort();
  await mkdir(join(folder, 'files'), { recursive: true });
  await writeFile(join(folder, 'nginx.conf'), nginxConfig(port, folder));
  const child = startChild(scope, program('nginx'), ['-c', join(folder, 'nginx.conf')]);
  return await peer('nginx', child, port);
}

export async function startMosquittoPeer(scope: Scope, folder: string): Promise<Peer> {
  const port = await freePort();
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'bench.conf'), mosquittoConfig(port));
  const child = startChild(scope, program('mosquitto'), ['-c', join(folder, 'bench.conf')]);
  return await peer('mosquitto', child, port);
}

/** As npm installs it: the flags of its start are part of what is measured. */
export async function startDroverPeer(
  scope: Scope,
  folder: string,
  more: readonly string[] = [],
): Promise<Peer> {
  const args = ['--data', folder, '--mqtt', '0', '--http', '0', '--max-connections', '20000'];
  const env = { DROVER_LOG: 'error' };
  const path = join(REPOSITORY, 'broker/drover-broker');
  const child = startChild(scope, path, [...args, ...more, '--json'], { env });
  const [, port] = await child.waitForOutput(/"mqtt":(\d+)/);
  return await peer('Drover', child, Number(port));
}

function program(name: string): string {
  const found = findPeer(name);
  if (found !== null) return found;
  throw new Error(`${name} is not installed: bash test/install-peers.sh bench`);
}

async function peer(name: string, child: Child, port: number): Promise<Peer> {
  await waitUntil(
    `${name} to listen`,
    async () => child.ended !== null || (await canConnect(port)),
    {
      look: () => child.describe(),
    },
  );
  if (child.ended) throw new Error(`${name} did not start\n${child.describe()}`);
  return {
    name,
    port,
    stats: () => familyStats(child.pid),
    stop: async () => void (await child.stop()),
  };
}

async function familyStats(pid: number): Promise<ProcessStats> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const pids = [pid, ...children.split(' ').filter(Boolean).map(Number)];
  const all = await Promise.all(pids.map((one) => readProcessStats(one)));
  const sum = (of: (stats: ProcessStats) => number): number =>
    all.reduce((total, one) => total + of(one), 0);
  return {
    rssMiB: sum((one) => one.rssMiB),
    ownMiB: sum((one) => one.ownMiB),
    peakRssMiB: sum((one) => one.peakRssMiB),
    cpuSeconds: sum((one) => one.cpuSeconds),
  };
}
