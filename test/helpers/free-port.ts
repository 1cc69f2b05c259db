/** A port for a program that cannot be told to take any (`port 0`) and say which. */

import { createServer, type AddressInfo } from 'node:net';

/** Free a moment ago: whoever uses it should be ready to find it taken and ask again. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
