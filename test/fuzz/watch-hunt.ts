/**
 * Runs a hunt in a thread of its own and watches it: an input that the door is still busy with
 * after seconds, a thread that ends by itself and memory above a bound are findings as well, which
 * the thread could not report.
 */

import { Worker } from 'node:worker_threads';
import { HandOver } from './hand-over.ts';

/** No input of 64 KiB may take so long, on a machine where other tests run as well. */
const HANG_MS = 20_000;
const LOOK_MS = 250;
const HEAP_MIB = 384;
/** Of the whole process, above what it took before: a bomb that is unpacked without a bound. */
const RESIDENT_BYTES_MAX = 1.5 * 2 ** 30;

export interface ToWorker {
  readonly door: string;
  readonly corpus: readonly Uint8Array[];
  readonly seconds: number;
  readonly seed: number;
  readonly memory: SharedArrayBuffer;
}

export interface FromWorker {
  readonly executions: number;
  /** Functions of the product that were entered. */
  readonly functions: number;
  readonly found: readonly Uint8Array[];
  readonly finding: { readonly inputs: readonly Uint8Array[]; readonly why: string } | null;
}

type Wanted = Omit<ToWorker, 'memory'> & { readonly hangMs?: number };

export async function watchHunt({ hangMs = HANG_MS, ...wanted }: Wanted): Promise<FromWorker> {
  const handOver = new HandOver();
  const worker = new Worker(new URL('worker.js', import.meta.url), {
    workerData: { ...wanted, memory: handOver.memory } satisfies ToWorker,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
  });
  const watchman = new Watchman(handOver, hangMs);
  try {
    return await new Promise<FromWorker>((resolve) => {
      const end = (why: string): void => resolve(endedBy(why, handOver));
      worker.on('message', resolve);
      worker.on('error', (error) => end(error.stack ?? String(error)));
      worker.on('exit', (code) => end(`the thread ended by itself with code ${code}`));
      watchman.start(end);
    });
  } finally {
    watchman.stop();
    await worker.terminate();
  }
}

const endedBy = (why: string, { input, count }: HandOver): FromWorker => ({
  ...{ executions: count, functions: 0, found: [] },
  finding: { inputs: [input], why },
});

class Watchman {
  readonly #handOver: HandOver;
  readonly #hangMs: number;
  readonly #residentMax = process.memoryUsage().rss + RESIDENT_BYTES_MAX;
  #timer: NodeJS.Timeout | null = null;
  #count = 0;
  #since = performance.now();

  constructor(handOver: HandOver, hangMs: number) {
    this.#handOver = handOver;
    this.#hangMs = hangMs;
  }

  start(end: (why: string) => void): void {
    this.#timer = setInterval(() => {
      const why = this.#look();
      if (why !== null) end(why);
    }, LOOK_MS);
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
  }

  #look(): string | null {
    const [{ count }, now] = [this.#handOver, performance.now()];
    const { rss } = process.memoryUsage();
    if (rss > this.#residentMax) return `it took ${Math.round(rss / 2 ** 20)} MiB of memory`;
    if (count !== this.#count) [this.#count, this.#since] = [count, now];
    return now - this.#since > this.#hangMs ? `no answer for ${this.#hangMs / 1_000} s` : null;
  }
}
