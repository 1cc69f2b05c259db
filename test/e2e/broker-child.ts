/** Our broker as a real process on free ports, in a folder of its own unless one is given. */

import { startDrover, type Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

export interface BrokerChild {
  readonly url: string;
  readonly port: number;
  readonly wsUrl: string;
  readonly httpUrl: string;
  readonly data: string;
  readonly child: Child;
}

export async function startBrokerChild(
  scope: Scope,
  options: {
    data?: string;
    port?: number;
    httpPort?: number;
    args?: readonly string[];
    env?: Record<string, string>;
  } = {},
): Promise<BrokerChild> {
  const data = options.data ?? (await tempFolder(scope));
  const { port = 0, httpPort = 0 } = options;
  const ports = ['--mqtt', String(port), '--ws', '0', '--http', String(httpPort)];
  const args = ['--data', data, ...ports, '--json', ...(options.args ?? [])];
  const child = startDrover(scope, 'broker', args, { env: options.env ?? {} });
  const [line] = await child.waitForOutput(/^\{"mqtt":.*\}$/m);
  const { mqtt, ws, http } = JSON.parse(line) as { mqtt: number; ws: number; http: number };
  return {
    url: `mqtt://127.0.0.1:${mqtt}`,
    port: mqtt,
    wsUrl: `ws://127.0.0.1:${ws}`,
    httpUrl: `http://127.0.0.1:${http}`,
    data,
    child,
  };
}
