/**
 * Numbers, signs and publishes the progress of rollouts. A number is on the disk before a robot
 * gets it: a controller that starts again must never use it for something else.
 */

import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { signProgress } from '../../shared/formats/progress.ts';
import { progressTopic } from '../../shared/formats/topics.ts';
import type { ControllerOptions } from './controller-options.ts';
import type { Leadership } from './leadership.ts';
import type { HeardOrders } from './heard-orders.ts';
import type { Tracked } from './reconcile.ts';
import { progressOf, type RolloutPlan, type RolloutRun } from './record.ts';

type PublisherOptions = Pick<
  ControllerOptions,
  'trust' | 'signers' | 'store' | 'now' | 'log' | 'publish'
> & {
  readonly leadership: Leadership;
  readonly heard: HeardOrders;
};

export class ProgressPublisher {
  readonly #options: PublisherOptions;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** The next number that robots accept; in a new term it is far above every earlier one. */
  numbered(run: RolloutRun): RolloutRun {
    const { leadership, heard, now } = this.#options;
    const term = leadership.term ?? 0;
    const told = heard.floorOf(run.rollout);
    const seq = Math.max(run.seq, told, term * LIMITS.seqsPerTerm) + 1;
    return { ...run, seq, expiresAtMs: now() + LIMITS.progressLifeMs };
  }

  /** Publishes a decision once more, under a number of its own. */
  async publishAgain(tracked: Tracked): Promise<void> {
    tracked.run = this.numbered(tracked.run);
    await this.#options.store.save({ run: tracked.run, isDecision: true });
    await this.publish(tracked);
  }

  /** The record was saved with a number of its own for this. */
  async publish(tracked: Tracked): Promise<void> {
    const { trust, signers, now, log, leadership } = this.#options;
    try {
      const bytes = await signProgress(progressOf(tracked.run, trust.fleet, now()), signers);
      // The last check: a controller that lost the lease during the write must not publish.
      if (leadership.term === null) return void (tracked.isUntold = true);
      tracked.isUntold = false;
      const topic = progressTopic(tracked.run.rollout as RolloutPlan['rollout']['id']);
      await this.#options.publish(topic, bytes);
    } catch (error) {
      tracked.isUntold = true;
      log.warn(
        { rollout: tracked.run.rollout, problem: toProblem(error) },
        'could not publish progress',
      );
    }
  }
}
