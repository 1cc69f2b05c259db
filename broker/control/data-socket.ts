/**
 * Unix sockets by which commands reach the broker that runs on a data folder. They lie in that
 * folder with mode 0600: whoever may open one could read the folder anyway, so no token is asked
 * for.
 */

import { chmod, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { DroverError } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';

/**
 * Call with the databases locked: a socket that a former broker left is removed.
 * @param what the calls on it, for the log, such as `backups`
 * @returns closes it
 */
export async function listenInFolder(
  server: Server,
  { path, what, log }: { readonly path: string; readonly what: string; readonly log: Log },
): Promise<() => Promise<void>> {
  await rm(path, { force: true });
  const isOpen = await new Promise<boolean>((resolve) => {
    server.on('error', (error) => {
      if (server.listening) return log.warn({ error: String(error) }, `call for ${what} not taken`);
      // A path beyond 107 bytes, or a file system without sockets: the broker runs on without.
      log.warn({ path, error: String(error) }, `no ${what} while this runs`);
      resolve(false);
    });
    server.listen(path, () => resolve(true));
  });
  if (!isOpen) return async () => undefined;
  await chmod(path, 0o600);
  return async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
}

/** True when no broker listens on the socket. */
export const isNotListening = ({ code }: NodeJS.ErrnoException): boolean =>
  code === 'ENOENT' || code === 'ECONNREFUSED';

/** A broker listens, and the call failed. */
export function notCalled(dataFolder: string, cause: NodeJS.ErrnoException): DroverError {
  const why = `call the broker of ${dataFolder}: ${cause.message}`;
  if (cause.code === 'EACCES' || cause.code === 'EPERM') {
    const hint = 'run it as root, or as the user that the broker runs as: sudo -u drover';
    return new DroverError('FILE_REFUSED', why, { cause, hint });
  }
  const hint = 'the broker of this folder runs and does not answer: see its log, or stop it first';
  return new DroverError('BROKER_UNREACHABLE', why, { cause, hint });
}
