/**
 * Several addresses of one broker, as nodes of a cluster have: a text with commas between URLs.
 * Pure. They are tried in order, the next after each failure; who wants robots to spread over the
 * nodes gives them different orders.
 */

import { DroverError } from './errors.ts';
import { LIMITS } from './limits.ts';

/** @throws DroverError USAGE for too many, or a place between commas that is empty */
export function splitBrokerUrls(text: string): readonly string[] {
  const urls = text.split(',').map((url) => url.trim());
  if (urls.length > LIMITS.brokerUrlsMax) {
    const counts = `(got ${urls.length}, want at most ${LIMITS.brokerUrlsMax})`;
    throw new DroverError('USAGE', `read broker URLs: too many ${counts}`);
  }
  if (urls.includes('')) {
    throw new DroverError('USAGE', 'read broker URLs: an empty one (want URL or URL,URL)');
  }
  return urls;
}
