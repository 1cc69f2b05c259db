/**
 * Subscribing on engines that refuse QoS 1 at times: NATS makes a consumer for each such filter,
 * allows so many of them, and makes none for a while after a node of its cluster was lost. What is
 * retained comes with QoS 0 as well, and on a link that loses nothing it comes whole.
 */

import { DroverError } from '../base/errors.ts';
import type { Wire } from '../base/ports.ts';

/**
 * @returns the QoS that was granted
 * @throws DroverError ACCESS_DENIED when both are refused, BROKER_UNREACHABLE
 */
export async function subscribeGently(wire: Wire, filters: readonly string[]): Promise<0 | 1> {
  try {
    await wire.subscribe(filters, 1);
    return 1;
  } catch (error) {
    if (!(error instanceof DroverError) || error.code !== 'ACCESS_DENIED') throw error;
  }
  await wire.subscribe(filters, 0);
  return 0;
}
