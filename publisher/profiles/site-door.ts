/**
 * Chooses the MQTT address for one address of both doors (--url, DROVER_URL, a profile), from the
 * answer of the broker there. Logins and chunks go to it, so the answer may not lead away: never to
 * a door without TLS when the URL has it, and to no host but that of the URL and those below it.
 * Another one has to be asked for with --broker. The address is put together from its parts: the
 * MQTT library reads hosts by other rules than `URL`, so only plain ones are taken. Sans-I/O.
 */

import { parseBrokerUrls, splitBrokerUrls } from '../../shared/base/broker-urls.ts';
import { DroverError, nullIfRefused } from '../../shared/base/errors.ts';
import { printable, shellWord } from '../../shared/base/printable.ts';
import type { SiteAnswer } from '../../shared/formats/http-api.ts';

const WITH_TLS: readonly string[] = ['mqtts:', 'wss:'];
const WITH_PATH: readonly string[] = ['ws:', 'wss:'];
/** As a `URL` writes each address. */
const IS_ADDRESS = /^(?:[0-9.]+|\[.*)$/;
const PLAIN_HOST = /^(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])$/;

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
  return splitBrokerUrls(mqtt)
    .map((one) => safeDoor(site, one))
    .join(',');
}

function safeDoor(site: URL, door: string): string {
  const { protocol, hostname, port, pathname, search, hash } = new URL(door);
  const [host, own] = [plainHost(hostname), plainHost(site.hostname)];
  const shown = printable(door, 200);
  if (host === null || search !== '' || hash !== '') {
    throw unnamed(site, `it names no plain MQTT address (got ${shown})`);
  }
  if (site.protocol === 'https:' && !isTls(protocol)) {
    throw refused(`${shown}: ${site.origin} names a door without TLS`, WEAK_HINT);
  }
  if (host !== own && !isBelow(host, own)) {
    throw refused(
      `${shown}: ${site.origin} names a door on another host`,
      `when that address is right, ask for it: --broker ${shellWord(shown)}, or drover config set NAME --broker ${shellWord(shown)}`,
    );
  }
  const path = WITH_PATH.includes(protocol) && pathname !== '/' ? pathname : '';
  return `${protocol}//${host}${port === '' ? '' : `:${port}`}${path}`;
}

const WEAK_HINT =
  'give the broker a door with TLS (docs/tls.md), or name the one of its proxy: drover-broker --public-mqtt mqtts://HOST:PORT; over a door without TLS a password goes in clear text';

const refused = (text: string, hint: string): DroverError =>
  new DroverError('SITE_DOOR_REFUSED', `use ${text}`, { hint });

/** As an https:// URL has it: lower case, in ASCII; null for anything but a plain name or address. */
function plainHost(hostname: string): string | null {
  const text = `https://${hostname.replace(/\.$/, '')}`;
  const host = URL.canParse(text) ? new URL(text).hostname : '';
  return PLAIN_HOST.test(host) ? host : null;
}

/** An IP address has nothing below it, and below a name of one label may be a public domain. */
function isBelow(host: string, own: string | null): boolean {
  const isName = own !== null && own.includes('.') && !IS_ADDRESS.test(own);
  if (!isName) return false;
  return host.endsWith(`.${own}`);
}

const isTls = (protocol: string): boolean => WITH_TLS.includes(protocol);
