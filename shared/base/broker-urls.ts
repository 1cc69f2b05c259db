/**
 * Address of a broker: one URL, or several of one cluster with commas between them. The first is
 * tried first, the next one when a connection cannot be made or has ended. Sans-I/O.
 */

import { DroverError } from './errors.ts';
import { LIMITS } from './limits.ts';

const SCHEMES: readonly string[] = ['mqtt:', 'mqtts:', 'ws:', 'wss:'];

/**
 * @param what the option, for the message
 * @throws DroverError USAGE; what is not a URL is not repeated, since it may hold a password
 */
export function parseBrokerUrls(text: string, what: string): URL[] {
  const urls = splitBrokerUrls(text).map((part) => (URL.canParse(part) ? new URL(part) : null));
  const good = urls.filter((url): url is URL => url !== null && isBrokerUrl(url));
  if (good.length === urls.length && good.length <= LIMITS.brokerUrlsMax) return good;
  const want = `want mqtt://, mqtts://, ws:// or wss://, or up to ${LIMITS.brokerUrlsMax} of them with commas`;
  throw new DroverError('USAGE', `read ${what}: not the URL of a broker (${want})`);
}

/**
 * Checks an address at the start and not after the first connection fails. Credentials in a URL
 * would show in the list of processes and in messages.
 * @throws DroverError USAGE
 */
export function assertBrokerUrl(text: string, what = '--broker'): void {
  const urls = parseBrokerUrls(text, what);
  if (urls.every((url) => url.username === '' && url.password === '')) return;
  throw new DroverError('USAGE', `read ${what}: a URL with credentials`, {
    hint: 'use --username and --password-file, or DROVER_USERNAME and DROVER_PASSWORD',
  });
}

const isBrokerUrl = ({ protocol, hostname }: URL): boolean =>
  SCHEMES.includes(protocol) && hostname !== '';

/** Never empty. */
export const splitBrokerUrls = (text: string): string[] =>
  text.split(',').map((part) => part.trim());

/** All of 127.0.0.0/8 is this machine; a name such as 127.example is not. */
const LOOPBACK = /^(?:localhost|::1|127(?:\.(?:0|[1-9]\d{0,2})){3})$/;

/** True for a host that this machine alone reaches. */
export const isLoopback = (host: string): boolean =>
  LOOPBACK.test(host) && host.split('.').every((part) => !(Number(part) > 255));

const WITHOUT_TLS: readonly string[] = ['mqtt:', 'ws:', 'http:'];

/**
 * The first address to which a secret would travel so that others on the network can read it; null
 * for TLS, and for this machine.
 */
export function readableWay(text: string): string | null {
  for (const one of splitBrokerUrls(text)) {
    if (!URL.canParse(one)) continue;
    const { protocol, host, hostname } = new URL(one);
    const isHere = isLoopback(hostname.replace(/^\[|\]$/g, ''));
    if (WITHOUT_TLS.includes(protocol) && !isHere) return `${protocol}//${host}`;
  }
  return null;
}

/** With a certificate of its own a client speaks TLS, whatever the URL says: so does its message. */
export const securedUrl = (url: string): string => url.replace(/^(mqtt|ws):/, '$1s:');

/** The other end of a link for people: only the link of a member has an address of this kind. */
export function linkEnd(url: string): { readonly isLeader: boolean; readonly words: string } {
  const isLeader = url.startsWith('https://');
  return { isLeader, words: isLeader ? `the leader at ${new URL(url).host}` : url };
}
