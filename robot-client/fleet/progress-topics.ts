/**
 * Subscribes to the progress of each announced rollout by its own topic, beside the wildcard: some
 * engines send no retained messages to a filter with `+`, and there a robot that comes late would
 * never learn that a rollout was stopped. Until the engine had time to answer, a rollout that needs
 * no controller waits.
 */

import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { RolloutId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { progressTopic } from '../../shared/formats/topics.ts';

export interface ProgressTopicsOptions {
  /** Resolves at SUBACK. */
  subscribe(filters: readonly string[]): Promise<void>;
  unsubscribe(filters: readonly string[]): Promise<void>;
  /** The engine had time to answer one more. */
  onAnswered(): void;
  readonly log: Log;
}

/** [P-6.8] */
export class ProgressTopics {
  readonly #options: ProgressTopicsOptions;
  readonly #announced = new Set<RolloutId>();
  readonly #answered = new Set<RolloutId>();
  readonly #waits = new Set<NodeJS.Timeout>();

  constructor(options: ProgressTopicsOptions) {
    this.#options = options;
  }

  /** Announced rollouts whose progress the engine may not have had the time to send. */
  get unanswered(): ReadonlySet<string> {
    return new Set([...this.#announced].filter((id) => !this.#answered.has(id)));
  }

  /** Follows the current announcement. Never awaited: the answer comes later. */
  follow(rollouts: readonly RolloutId[]): void {
    const gone = [...this.#announced].filter((id) => !rollouts.includes(id));
    const added = rollouts.filter((id) => !this.#announced.has(id));
    for (const id of gone) {
      this.#announced.delete(id);
      this.#answered.delete(id);
    }
    for (const id of added) this.#announced.add(id);
    this.#leave(gone);
    this.#ask(added);
  }

  /** Call on a new link, or to get the retained messages again. */
  askAgain(): void {
    this.#ask([...this.#announced]);
  }

  close(): void {
    for (const wait of this.#waits) clearTimeout(wait);
  }

  #ask(rollouts: readonly RolloutId[]): void {
    for (let at = 0; at < rollouts.length; at += LIMITS.filtersPerSubscribeMax) {
      const some = rollouts.slice(at, at + LIMITS.filtersPerSubscribeMax);
      this.#options.subscribe(some.map(progressTopic)).then(
        () => this.#giveTime(some),
        (error: unknown) => this.#refused(some, error),
      );
    }
  }

  #leave(rollouts: readonly RolloutId[]): void {
    if (rollouts.length === 0) return;
    // With a lost link they end anyway.
    this.#options.unsubscribe(rollouts.map(progressTopic)).catch(() => undefined);
  }

  /** A lost link is followed by another; an engine that refuses will not answer at all. */
  #refused(rollouts: readonly RolloutId[], error: unknown): void {
    if (!(error instanceof DroverError) || error.code !== 'ACCESS_DENIED') return;
    const problem = toProblem(error);
    this.#options.log.warn({ rollouts, problem }, 'progress has no subscription of its own');
    this.#giveTime(rollouts);
  }

  #giveTime(rollouts: readonly RolloutId[]): void {
    const open = rollouts.filter((id) => !this.#answered.has(id));
    if (open.length === 0) return;
    const wait = setTimeout(() => {
      this.#waits.delete(wait);
      for (const id of open) if (this.#announced.has(id)) this.#answered.add(id);
      this.#options.onAnswered();
    }, LIMITS.progressAnswerMs);
    wait.unref();
    this.#waits.add(wait);
  }
}
