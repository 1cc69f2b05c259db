/**
 * Waiting for a link to come back, subscribing on engines that grant less, and asking again now and
 * then: what several programs do that live on a link.
 */

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

/**
 * Subscribes to topics that the rules of an older access list do not grant: without them the rest
 * works.
 * @throws DroverError BROKER_UNREACHABLE
 */
export async function subscribeIfGranted(
  wire: Wire,
  filters: readonly string[],
  qos: 0 | 1,
): Promise<boolean> {
  try {
    await wire.subscribe(filters, qos);
    return true;
  } catch (error) {
    if (error instanceof DroverError && error.code === 'ACCESS_DENIED') return false;
    throw error;
  }
}

/**
 * Calls a function repeatedly, each time up to a quarter earlier or later than the given interval.
 * Programs that started at the same time, as after a power cut, then do not all ask their broker at
 * the same time.
 */
export class JitteredTimer {
  #next: NodeJS.Timeout | null = null;
  #isClosed = false;

  /** @param run must not throw */
  start(everyMs: number, run: () => void): void {
    if (this.#isClosed) return;
    const waitMs = everyMs * (0.75 + Math.random() / 2);
    this.#next = setTimeout(() => {
      run();
      this.start(everyMs, run);
    }, waitMs);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#next) clearTimeout(this.#next);
  }
}
