/**
 * Numbers of MQTT packets, where the libraries need care.
 *
 * The packet writer makes one Buffer for each of the 65,536 numbers of two
 * bytes when it writes its first packet, and keeps them: 8 MiB of resident memory, an eighth of an
 * idle agent, to save an allocation of two bytes in a message.
 */

import mqttPacket from 'mqtt-packet';

/** Call before the first packet is written. A test holds that the libraries write with this copy. */
export function keepNumbersOutOfMemory(): void {
  const { writeToStream } = mqttPacket as unknown as { writeToStream: { cacheNumbers: boolean } };
  writeToStream.cacheNumbers = false;
}

/** Packets that carry a number; a PUBLISH does from QoS 1 on. */
const NUMBERED: readonly string[] = ['puback', 'pubrec', 'pubrel', 'pubcomp', 'suback', 'unsuback'];

interface Received {
  cmd: string;
  readonly qos?: number;
  readonly messageId?: number;
}

/**
 * The reader accepts a packet that ends before its number, and answering it would throw where
 * nothing can catch it: two bytes of a hostile broker would end a robot's agent. Such a packet is
 * not handled, and ends its connection. Call before the first packet comes.
 */
export function refuseUnnumbered(client: {
  on(event: 'packetreceive', heard: (packet: never) => void): unknown;
  readonly stream: { destroy(error?: Error): unknown };
}): void {
  client.on('packetreceive', (received: Received) => {
    const isNumbered =
      NUMBERED.includes(received.cmd) || (received.cmd === 'publish' && (received.qos ?? 0) > 0);
    if (!isNumbered || (received.messageId ?? 0) > 0) return;
    received.cmd = 'malformed'; // the library ignores commands that it does not know
    client.stream.destroy(new Error('a packet without its number'));
  });
}
