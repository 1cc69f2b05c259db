/**
 * The answer of GET /site: where MQTT clients reach this broker. Everybody may read it, as
 * everybody may knock at the doors that it names. A door has no host of its own: the reader uses
 * the one under which it reached the API, since a broker does not know its names. Behind a proxy
 * only its operator knows the address, and names it with --public-mqtt. Sans-I/O.
 */

import type { SiteAnswer } from '../../shared/formats/http-api.ts';

/**
 * Ports that are open; null where a door is not. The engine says them once it listens: a port of 0
 * on the command line is any that is free.
 */
interface OpenDoors {
  readonly mqttPort: number | null;
  readonly mqttsPort: number | null;
  readonly wsPort: number | null;
}

export interface SiteFacts {
  /** The address of --public-mqtt; null without it. */
  readonly publicMqtt: string | null;
  /** Null until they are open, and on an external engine, whose address is for the broker. */
  readonly doors: OpenDoors | null;
  /** True when the WebSocket door speaks TLS. */
  readonly isTls: boolean;
}

/** Doors with TLS come first. */
export function siteAnswer({ publicMqtt, doors, isTls }: SiteFacts): SiteAnswer {
  const found = [
    ['mqtts', doors?.mqttsPort],
    ['wss', isTls ? doors?.wsPort : null],
    ['mqtt', doors?.mqttPort],
    ['ws', isTls ? null : doors?.wsPort],
  ] as const;
  return {
    mqtt: publicMqtt,
    doors: found.flatMap(([scheme, port]) =>
      port === null || port === undefined ? [] : [{ scheme, port }],
    ),
  };
}
