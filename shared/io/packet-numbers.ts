/**
 * The packet writer of our MQTT libraries makes one Buffer for each of the 65,536 numbers of two
 * bytes when it writes its first packet, and keeps them: 8 MiB of resident memory, an eighth of an
 * idle agent, to save an allocation of two bytes in a message.
 */

import { createRequire } from 'node:module';

/**
 * Call before the first packet is written.
 * @param library where the library stands, as `import.meta.resolve` says it: the writer is taken from
 *   there, so that it is the very copy that the library writes with
 */
export function keepNumbersOutOfMemory(library: string): void {
  const writer = createRequire(library)('mqtt-packet') as {
    writeToStream: { cacheNumbers: boolean };
  };
  writer.writeToStream.cacheNumbers = false;
}
