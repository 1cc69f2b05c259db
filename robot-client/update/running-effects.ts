/**
 * The running effects of one component. A new one replaces the one before. Closing the component
 * waits until none runs any more, because an aborted effect may still be in the middle of a write.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import { endsWithin } from '../../shared/io/within.ts';
import type { Effect } from './machine.ts';

/**
 * Effects that wait for the end of the ones before: an aborted `stage` may be between the seal of a
 * release and its name, and a clean-up would remove that seal as one without a release. A disk that
 * never answers holds them up for `earlierEffectMs` only.
 */
export const followsOthers = ({ kind }: Effect): boolean => kind === 'cleanUp' || kind === 'stage';

export class RunningEffects {
  readonly #runs = new Set<Promise<void>>();
  readonly #onFailure: (error: unknown) => void;
  readonly #current = new Set<AbortController>();

  /** @param onFailure called for an effect that failed and was not aborted; never throws */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /**
   * Until `abort`, which stops all that were started since the last one.
   * @param run gets false when an effect of before still runs although this one waited for it
   * @param isLast true to wait for those that were started before
   */
  start(run: (signal: AbortSignal, isAlone: boolean) => Promise<void>, isLast = false): void {
    const current = new AbortController();
    this.#current.add(current);
    const before = isLast && this.#runs.size > 0 ? Promise.all(this.#runs) : null;
    const begin = async (): Promise<void> => {
      const isAlone = before === null || (await endsWithin(before, LIMITS.earlierEffectMs));
      if (before) current.signal.throwIfAborted();
      await run(current.signal, isAlone);
    };
    const running = begin()
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
