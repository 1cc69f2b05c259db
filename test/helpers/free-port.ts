/** A port for a program that cannot choose one itself (`port 0`) and report it. */

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below what Linux gives to outgoing connections and to `port 0` (32768 and up), from where another
 * test once took a port between this look and its use: two brokers, and the wrong one answered.
 */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;
const TRIES_MAX = 50;

/** A port where nobody ever listens: reserved, and only root could. */
export const NOBODY_PORT = 1;

/** @throws Error if no port is free after many tries */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await canListen(port)) return port;
  }
  throw new Error(`no free port from ${FIRST_PORT} to ${LAST_PORT} in ${TRIES_MAX} tries`);
}

function canListen(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
