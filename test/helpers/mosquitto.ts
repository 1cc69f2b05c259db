/** A stock mosquitto on a free port of the loopback, in a folder of its own. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { canConnect } from './can-connect.ts';
import { startChild, type Child } from './child.ts';
import { freePort } from './free-port.ts';
import { requirePeer } from './peer.ts';
import { repositoryFile } from './repository.ts';
import { tempFolder } from './temp-folder.ts';
import { waitUntil } from './wait-until.ts';

export interface Mosquitto {
  readonly url: string;
  readonly port: number;
  /** Working folder: mosquitto.db goes here. */
  readonly folder: string;
  readonly child: Child;
}

/** Our own mosquitto.conf with nothing changed but the address it listens on. */
export async function productConfig(port: number): Promise<string> {
  const text = await readFile(repositoryFile('mosquitto.conf'), 'utf8');
  const moved = text.replace(/^listener 1883$/m, `listener ${port} 127.0.0.1`);
  if (moved === text) throw new Error('mosquitto.conf has no line "listener 1883"');
  return moved;
}

/**
 * @param options.config text of a configuration for the port given; our mosquitto.conf by default
 * @param options.folder where an earlier one kept its data, to start it again
 * @param options.port that of the earlier one, so that its clients find it
 * @returns null when mosquitto is missing and the test was skipped
 */
export async function startMosquitto(
  t: TestContext,
  options: {
    config?: (port: number, folder: string) => Promise<string>;
    folder?: string;
    port?: number;
  } = {},
): Promise<Mosquitto | null> {
  const program = requirePeer(t, 'mosquitto');
  if (program === null) return null;
  const folder = options.folder ?? (await tempFolder(t));
  const port = options.port ?? (await freePort());
  const path = join(folder, 'test.conf');
  // As root mosquitto becomes another user, who could not write into the folder.
  const user = process.getuid?.() === 0 ? 'user root\n' : '';
  await writeFile(path, user + (await (options.config ?? productConfig)(port, folder)));
  const child = startChild(t, program, ['-c', path], { cwd: folder });
  await waitUntil(
    'mosquitto to listen',
    async () => child.ended !== null || (await canConnect(port)),
    {
      look: () => child.describe(),
    },
  );
  if (child.ended) throw new Error(`mosquitto did not start\n${child.describe()}`);
  return { url: `mqtt://127.0.0.1:${port}`, port, folder, child };
}
