/** Waiting for a link that has listeners of its own to come back: what publisher and broker share. */

import type { DroverError } from '../base/errors.ts';
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
