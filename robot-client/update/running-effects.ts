/**
 * The running effects of one component. A new one replaces the one before. Closing the component
 * waits until none runs any more, because an aborted effect may still be in the middle of a write.
 */

import { endsWithin } from '../../shared/io/within.ts';

export class RunningEffects {
  readonly #runs = new Set<Promise<void>>();
  readonly #onFailure: (error: unknown) => void;
  readonly #current = new Set<AbortController>();

  /** @param onFailure called for an effect that failed and was not aborted; never throws */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Until `abort`, which stops all that were started since the last one. */
  start(run: (signal: AbortSignal) => Promise<void>): void {
    const current = new AbortController();
    this.#current.add(current);
    const running = run(current.signal)
      .catch((error: unknown) => {
        if (!current.signal.aborted) this.#onFailure(error);
      })
      .finally(() => {
        this.#runs.delete(running);
        this.#current.delete(current);
      });
    this.#runs.add(running);
  }

  abort(why: string): void {
    for (const current of this.#current) current.abort(new Error(why));
    this.#current.clear();
  }

  /** True when none runs any more; false when one still did after `withinMs`. */
  async settle(withinMs: number): Promise<boolean> {
    await endsWithin(Promise.all(this.#runs), withinMs);
    return this.#runs.size === 0;
  }
}
