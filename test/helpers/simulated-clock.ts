/**
 * A clock that stands still while work is going on and leaps to the next timer when none is. While
 * it is installed, every `setTimeout`, `setInterval`, `sleep` of node:timers/promises, `Date.now`
 * and `performance.now` of this process is of this clock; disks, processes and sockets are real. So
 * hours of waiting pass in milliseconds and in the right order, and every timer that is pending can
 * be counted.
 *
 * It sees running work by the requests of libuv (to the disk, and for processes). zlib in
 * its thread pool is not among it: each leap waits a millisecond of real time for it, and whoever
 * waits for something that needs it should be patient in simulated time, which costs nothing.
 */

import { createRequire, syncBuiltinESMExports } from 'node:module';

type Callback = (...args: unknown[]) => void;
type Sleep = <T>(ms?: number, value?: T, options?: { signal?: AbortSignal }) => Promise<T>;

const timersPromises = createRequire(import.meta.url)('node:timers/promises') as {
  setTimeout: Sleep;
};
const { setTimeout: realTimeout, setImmediate: realImmediate } = globalThis;

/** Turns of the real event loop without anything going on before the clock leaps. */
const QUIET_TURNS = 4;
/** Real time between two checks of running work, and before each leap. */
const LOOK_MS = 1;
/** Of all that is open, what is work: pipes and sockets may stay open for ever. */
const WORK = /Req|^ProcessWrap$/;

/** Stands in for NodeJS.Timeout, as far as programs use one. */
class SimulatedTimer {
  readonly callback: Callback;
  readonly args: readonly unknown[];
  readonly everyMs: number | null;
  dueMs: number;

  constructor(callback: Callback, args: readonly unknown[], due: { at: number; every?: number }) {
    this.callback = callback;
    this.args = args;
    this.dueMs = due.at;
    this.everyMs = due.every ?? null;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

export class SimulatedClock {
  #nowMs: number;
  /** In the order in which they were set: of two that are due at once the older goes first. */
  readonly #timers = new Set<SimulatedTimer>();

  constructor(startMs: number) {
    this.#nowMs = startMs;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get pending(): number {
    return this.#timers.size;
  }

  /** @returns puts the clocks and timers of this process back */
  install(): () => void {
    const before = { ...pick(globalThis), dateNow: Date.now, sleep: timersPromises.setTimeout };
    const performanceNow = performance.now;
    const clear = (timer: unknown): void => void this.#timers.delete(timer as SimulatedTimer);
    const set = (callback: Callback, ms = 0, ...args: unknown[]): SimulatedTimer =>
      this.#add(new SimulatedTimer(callback, args, { at: this.#nowMs + wait(ms) }));
    const repeat = (callback: Callback, ms = 0, ...args: unknown[]): SimulatedTimer => {
      const every = wait(ms);
      return this.#add(new SimulatedTimer(callback, args, { at: this.#nowMs + every, every }));
    };
    Object.assign(globalThis, {
      ...{ setTimeout: set, setInterval: repeat, clearTimeout: clear, clearInterval: clear },
    });
    Date.now = () => this.#nowMs;
    performance.now = () => this.#nowMs;
    timersPromises.setTimeout = (ms, value, options) => this.#sleep(ms ?? 0, value, options);
    syncBuiltinESMExports();
    return () => {
      const { dateNow, sleep, ...globals } = before;
      Object.assign(globalThis, globals);
      Date.now = dateNow;
      performance.now = performanceNow;
      timersPromises.setTimeout = sleep;
      syncBuiltinESMExports();
    };
  }

  /** Lets time pass until something is true. @throws Error when it is not within `withinMs` */
  async until(what: string, isTrue: () => boolean, withinMs: number): Promise<void> {
    const deadlineMs = this.#nowMs + withinMs;
    while (!isTrue()) {
      await this.settle();
      if (isTrue()) return;
      if (this.#nowMs >= deadlineMs) throw new Error(`waited ${withinMs} ms for ${what}`);
      await new Promise<void>((resolve) => realTimeout(resolve, LOOK_MS));
      this.#leap(deadlineMs);
    }
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await this.until('time to pass', () => this.#nowMs >= endMs, ms);
    await this.settle();
  }

  /** Until nothing goes on that is not waiting for a timer. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS; quiet += 1) {
      await new Promise<void>((resolve) => realImmediate(resolve));
      while (process.getActiveResourcesInfo().some((name) => WORK.test(name))) {
        await new Promise<void>((resolve) => realTimeout(resolve, LOOK_MS));
        quiet = 0;
      }
    }
  }

  #add(timer: SimulatedTimer): SimulatedTimer {
    this.#timers.add(timer);
    return timer;
  }

  #leap(noLaterMs: number): void {
    let next: SimulatedTimer | null = null;
    for (const timer of this.#timers) if (!next || timer.dueMs < next.dueMs) next = timer;
    if (!next || next.dueMs > noLaterMs) {
      this.#nowMs = noLaterMs;
      return;
    }
    this.#nowMs = Math.max(this.#nowMs, next.dueMs);
    if (next.everyMs === null) this.#timers.delete(next);
    else next.dueMs = this.#nowMs + next.everyMs;
    next.callback(...next.args);
  }

  #sleep<T>(ms: number, value: T | undefined, options: { signal?: AbortSignal } = {}): Promise<T> {
    const { signal } = options;
    return new Promise<T>((resolve, reject) => {
      const abort = (): void => {
        this.#timers.delete(timer);
        const reason = new Error('The operation was aborted', { cause: signal?.reason });
        reject(Object.assign(reason, { name: 'AbortError', code: 'ABORT_ERR' }));
      };
      const wake = (): void => {
        signal?.removeEventListener('abort', abort);
        resolve(value as T);
      };
      const timer = new SimulatedTimer(wake, [], { at: this.#nowMs + wait(ms) });
      if (signal?.aborted === true) return abort();
      this.#add(timer);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

/** As Node does: whole milliseconds, and nothing is due in the same one. */
const wait = (ms: number): number => Math.max(1, Number.isFinite(ms) ? Math.trunc(ms) : 1);

const pick = (from: typeof globalThis) => {
  const { setTimeout, setInterval, clearTimeout, clearInterval } = from;
  return { setTimeout, setInterval, clearTimeout, clearInterval };
};
