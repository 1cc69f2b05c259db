/**
 * Counters that the application reports: totals since the agent's start, and increments from each
 * part of it.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { Counts } from '../fleet/usage.ts';
import type { Reporter } from '../fleet/reporter.ts';

const KEYS = ['tasks_completed', 'tasks_failed', 'crashes'] as const;
/** The counters that the application reports. */
type Told = Pick<Counts, (typeof KEYS)[number]>;

export class Telemetry {
  readonly #components: readonly string[];
  readonly #reporter: Pick<Reporter, 'add'>;
  readonly #totals = { tasks_completed: 0, tasks_failed: 0, crashes: 0 };

  constructor(components: readonly string[], reporter: Pick<Reporter, 'add'>) {
    this.#components = components;
    this.#reporter = reporter;
  }

  get totals(): Readonly<Record<(typeof KEYS)[number], number>> {
    return this.#totals;
  }

  /** @throws DroverError NOT_FOUND for a component that this robot does not have */
  add(delta: Told, component: string = this.#main): void {
    if (!this.#components.includes(component)) {
      throw new DroverError('NOT_FOUND', `count for ${component}: no such component here`);
    }
    for (const key of KEYS) this.#totals[key] += delta[key] ?? 0;
    this.#reporter.add(component, delta);
  }

  get #main(): string {
    return this.#components.includes('app') ? 'app' : (this.#components[0] ?? 'app');
  }
}
