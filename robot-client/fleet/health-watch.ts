/**
 * Checks the health of a confirmed version at intervals, with the hook that confirmed it. It counts
 * and reports; it never rolls back, because a gate that sees the whole fleet decides that better.
 * It stops as soon as an update needs the hooks.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import type { Counts } from './usage.ts';
import { runHookToEnd } from '../modules/hook-run.ts';

export interface Watched {
  readonly component: string;
  /** Null during an update, or when nothing is installed. */
  readonly version: string | null;
  readonly env: Readonly<Record<string, string>>;
}

export interface HealthWatchOptions {
  readonly hooksFolder: string;
  readonly hookTimeoutMs: number;
  readonly everyMs: number;
  readonly log: Log;
  watched(): readonly Watched[];
  count(component: string, counts: Counts): void;
}

export class HealthWatch {
  readonly #options: HealthWatchOptions;
  /** Last reading of each component's version. */
  readonly #readings = new Map<string, { version: string; restarts: number }>();
  #timer: NodeJS.Timeout | null = null;
  #running: AbortController | null = null;

  constructor(options: HealthWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { everyMs, log } = this.#options;
    if (everyMs <= 0) return;
    this.#timer = setInterval(() => {
      this.probe().catch((error: unknown) => {
        // Making room for an update is no failure, and a failure is not worth an event.
        log.debug({ error: String(error) }, 'could not check health');
      });
    }, everyMs);
  }

  /** Call when an update begins, or the agent ends. */
  stepAside(): void {
    this.#running?.abort(new Error('the hooks are needed'));
  }

  close(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.stepAside();
  }

  /** One round over all components; never two at once. */
  async probe(): Promise<void> {
    if (this.#running) return;
    const running = new AbortController();
    this.#running = running;
    try {
      for (const one of this.#options.watched()) await this.#lookAt(one, running.signal);
    } finally {
      this.#running = null;
    }
  }

  async #lookAt({ component, version, env }: Watched, signal: AbortSignal): Promise<void> {
    if (version === null) return void this.#readings.delete(component);
    const { hooksFolder: folder, hookTimeoutMs: timeoutMs, count } = this.#options;
    const result = await runHookToEnd({ folder, name: 'health', timeoutMs, env, signal });
    if (result.kind === 'absent') return;
    // It was not run: the watch over owners reports that, and the version is not to blame.
    if (result.kind === 'failed' && result.code) return;
    const output = result.output.slice(-LIMITS.hookOutputBytesMax);
    const restarts = parseRestarts(output);
    const known = this.#readings.get(component);
    const before = known?.version === version ? known.restarts : null;
    if (restarts !== null) this.#readings.set(component, { version, restarts });
    count(component, {
      restarts: restarts === null ? 0 : newRestarts(before, restarts),
      health_failures: result.kind === 'failed' || result.kind === 'timedOut' ? 1 : 0,
    });
  }
}

/**
 * The last line `restarts=N` of a hook's output; null without one. The hook prints a total
 * (systemd's NRestarts), which starts again with the unit or the machine; only rises are counted.
 */
export function parseRestarts(output: string): number | null {
  const found = [...output.matchAll(/^restarts=(\d{1,9})\s*$/gm)].at(-1)?.[1];
  return found === undefined ? null : Number(found);
}

/** @param before the reading before; null for the first, where counting begins */
export function newRestarts(before: number | null, now: number): number {
  if (before === null) return 0;
  return now >= before ? now - before : now;
}
