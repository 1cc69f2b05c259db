/**
 * Chooses the MQTT address for one address of both doors (--url, DROVER_URL, a profile), from the
 * answer of the broker there. Logins and chunks go to it, so the answer may not lead away: never to
 * a door without TLS when the URL has it, and to no host but that of the URL and those below it.
 * Another one has to be asked for with --broker. Sans-I/O.
 */

import { parseBrokerUrls, splitBrokerUrls } from '../../shared/base/broker-urls.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { printable, shellWord } from '../../shared/base/printable.ts';
import type { SiteAnswer } from '../../shared/formats/http-api.ts';

const WITH_TLS: readonly string[] = ['mqtts:', 'wss:'];

/**
 * @param site http:// or https:// URL that the answer came from
 * @returns an address as --broker takes it
 * @throws DroverError SITE_UNNAMED, SITE_DOOR_REFUSED
 */
export function chooseDoor(site: URL, { mqtt, doors }: SiteAnswer): string {
  if (mqtt !== null) return namedDoor(site, mqtt);
  const [first] = doors;
  if (!first) throw unnamed(site, 'it has no door of its own and no --public-mqtt');
  const safe = doors.find(({ scheme }) => site.protocol === 'http:' || isTls(`${scheme}:`));
  const { scheme, port } = safe ?? first;
  return safeDoor(site, `${scheme}://${site.hostname}:${port}`);
}

export const unnamed = ({ origin }: URL, why: string): DroverError =>
  new DroverError('SITE_UNNAMED', `find the MQTT address of ${origin}: ${why}`);

/** Several of a cluster are one address: each of them has to be good. */
function namedDoor(site: URL, mqtt: string): string {
  const urls = nullIfRefused(() => parseBrokerUrls(mqtt, 'address'));
  const hasLogin = urls?.some(({ username, password }) => username !== '' || password !== '');
  if (urls === null || hasLogin === true) {
    throw unnamed(site, `it names no MQTT address (got ${printable(mqtt, 200)})`);
  }
  for (const one of splitBrokerUrls(mqtt)) safeDoor(site, one);
  return mqtt;
}

function safeDoor(site: URL, door: string): string {
  const { protocol, hostname } = new URL(door);
  const isOwn = hostname === site.hostname || hostname.endsWith(`.${site.hostname}`);
  const isWeak = site.protocol === 'https:' && !isTls(protocol);
  if (isOwn && !isWeak) return door;
  const why = isWeak ? 'a door without TLS' : 'a door on another host';
  const shown = printable(door, 200);
  throw new DroverError('SITE_DOOR_REFUSED', `use ${shown}: ${site.origin} names ${why}`, {
    hint: `when that address is right, ask for it: --broker ${shellWord(shown)}, or drover config set NAME --broker ${shellWord(shown)}`,
  });
}

const isTls = (protocol: string): boolean => WITH_TLS.includes(protocol);
