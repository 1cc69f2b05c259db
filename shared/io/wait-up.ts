/** Waiting for a link that has listeners of its own to come back: what publisher and broker share. */

import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Wire } from '../base/ports.ts';

export interface ReturningLink {
  readonly wire: Pick<Wire, 'isUp'>;
  /** @returns a function that ends the listening */
  listen(listener: { onUp(): void }): () => void;
}

/**
 * Resolves at once when the link is up, else when it comes back.
 * @throws what `whyNot` says after `connectWaitMs`
 */
export async function waitUp(link: ReturningLink, whyNot: () => DroverError): Promise<void> {
  if (link.wire.isUp) return;
  await new Promise<void>((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      stop();
    };
    const stop = link.listen({
      onUp: () => {
        end();
        resolve();
      },
    });
    const timer = setTimeout(() => {
      end();
      reject(whyNot());
    }, LIMITS.connectWaitMs);
  });
}

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
