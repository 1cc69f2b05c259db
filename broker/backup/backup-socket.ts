/**
 * The Unix socket by which `drover-broker backup` reads from the broker that runs on a data folder.
 * It lies in that folder with mode 0600: whoever may open it could read the folder anyway, so it
 * asks for no token, and a system timer can use it. One backup runs at a time. A reader that takes
 * nothing for a minute is disconnected, because a snapshot keeps the databases from freeing deleted
 * records.
 */

import { createServer, request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { isNotListening, listenInFolder, notCalled } from '../control/data-socket.ts';
import { writeBackup, type BackupSource } from './write.ts';

const SOCKET = 'backup.sock';
const [WITH_CHUNKS, WITHOUT_CHUNKS] = ['/backup', '/backup?chunks=no'];
const socketOf = (dataFolder: string): string => join(dataFolder, SOCKET);

/** Call with the databases locked: a socket that a former broker left is removed. */
export async function openBackupDoor(options: {
  readonly dataFolder: string;
  readonly source: BackupSource;
  readonly log: Log;
}): Promise<() => Promise<void>> {
  const { dataFolder, source, log } = options;
  let isBusy = false;
  const server = createServer((call, reply) => {
    const isKnown = call.url === WITH_CHUNKS || call.url === WITHOUT_CHUNKS;
    if (call.method !== 'POST' || !isKnown) return void reply.writeHead(404).end();
    if (isBusy) return void reply.writeHead(503).end();
    isBusy = true;
    reply.setTimeout(LIMITS.backupStallMs, () => reply.destroy());
    const hasChunks = call.url === WITH_CHUNKS;
    reply.writeHead(200, { 'content-type': 'application/x-tar' });
    // A failure ends the connection before the answer is complete, and the reader notices.
    pipeline(writeBackup(source, { hasChunks, now: Date.now() }), reply)
      .then(() => log.info({ hasChunks }, 'backup written'))
      .catch((error: unknown) => log.warn({ error: String(error) }, 'backup not finished'))
      .finally(() => (isBusy = false));
  });
  return await listenInFolder(server, { path: socketOf(dataFolder), what: 'backups', log });
}

/**
 * The backup stream of the running broker; null when none runs.
 * @throws DroverError FILE_REFUSED, BACKUP_BUSY, BROKER_UNREACHABLE for any other answer
 */
export async function callBackupDoor(
  dataFolder: string,
  hasChunks: boolean,
): Promise<Readable | null> {
  const path = hasChunks ? WITH_CHUNKS : WITHOUT_CHUNKS;
  const options = { socketPath: socketOf(dataFolder), path, method: 'POST' };
  const answer = await new Promise<IncomingMessage | null>((resolve, reject) => {
    const call = request(options, resolve);
    call.on('error', (error: NodeJS.ErrnoException) => {
      if (isNotListening(error)) return resolve(null);
      reject(notCalled(dataFolder, error));
    });
    call.end();
  });
  if (answer === null || answer.statusCode === 200) return answer;
  answer.destroy();
  const isBusy = answer.statusCode === 503;
  const why = isBusy ? 'another backup is being made' : 'it knows no backups';
  throw new DroverError(
    isBusy ? 'BACKUP_BUSY' : 'BROKER_UNREACHABLE',
    `call the broker of ${dataFolder}: ${why}`,
    {
      ...(isBusy
        ? {}
        : {
            hint: 'another version runs there: restart it with this one, or stop it and back up without it',
          }),
    },
  );
}
