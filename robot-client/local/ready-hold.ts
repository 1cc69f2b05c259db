/**
 * Holds a ready lease for an application: posts it, and posts it again until it is released. A
 * process that hangs or ends renews nothing, so its lease lapses, as it must.
 */

import { LIMITS } from '../../shared/base/limits.ts';

export interface HoldOptions {
  /**
   * Length of the lease in whole seconds. It has to outlast the `stop` hook when that hook ends
   * this process.
   */
  readonly holdS: number;
  /** Name of this caller, where several applications answer for one component. */
  readonly holder?: string;
  /** Called for each renewal that failed; the next one follows all the same. */
  readonly onFailure?: (error: unknown) => void;
}

type Post = (body: object) => Promise<void>;

export class ReadyHold {
  readonly #post: Post;
  readonly #options: HoldOptions;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | null = null;
  #renewal: Promise<void> = Promise.resolve();
  #isReleased = false;

  private constructor(post: Post, options: HoldOptions) {
    this.#post = post;
    this.#options = options;
    this.#everyMs = (options.holdS * 1000) / LIMITS.readyRenewalsMin;
  }

  /** @throws DroverError when the agent refuses the lease, or does not answer */
  static async begin(post: Post, options: HoldOptions): Promise<ReadyHold> {
    const hold = new ReadyHold(post, options);
    await hold.#lease();
    hold.#wait();
    return hold;
  }

  /**
   * Says that the robot is not ready any more: nothing is switched that is not switched yet. A
   * process that the `stop` hook ends must not call this.
   * @param reason why not, at most 200 characters; shown to the fleet
   * @throws DroverError when the agent does not answer: the lease then lapses by itself
   */
  async release(reason = 'the hold was released'): Promise<void> {
    this.#isReleased = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#renewal;
    await this.#post({ ready: false, reason, ...this.#holder });
  }

  get #holder(): { holder?: string } {
    const { holder } = this.#options;
    return holder === undefined ? {} : { holder };
  }

  async #lease(): Promise<void> {
    await this.#post({ hold_s: this.#options.holdS, ...this.#holder });
  }

  #wait(): void {
    if (this.#isReleased) return;
    this.#timer = setTimeout(() => {
      this.#renewal = this.#lease()
        .catch((error: unknown) => this.#options.onFailure?.(error))
        .finally(() => this.#wait());
    }, this.#everyMs);
    this.#timer.unref(); // an application that has ended must not go on to hold
  }
}
