/**
 * The packet writer of our MQTT libraries makes one Buffer for each of the 65,536 numbers of two
 * bytes when it writes its first packet, and keeps them: 8 MiB of resident memory, an eighth of an
 * idle agent, to save an allocation of two bytes in a message.
 */

import mqttPacket from 'mqtt-packet';

/** Call before the first packet is written. A test holds that the libraries write with this copy. */
export function keepNumbersOutOfMemory(): void {
  const { writeToStream } = mqttPacket as unknown as { writeToStream: { cacheNumbers: boolean } };
  writeToStream.cacheNumbers = false;
}
