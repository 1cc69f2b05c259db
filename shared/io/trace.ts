/**
 * Records decisions while a program runs, when DROVER_TRACE names a file; `npm run replay FILE`
 * computes each of them again. The file shows why a robot in the field did something, and a test
 * can keep it. A line is JSON, with names for values that JSON cannot express, so that reading
 * gives the same input. The file has a bound. A failed write ends the trace, never the program.
 */

import { appendFileSync, statSync } from 'node:fs';
import { writeNote } from './cli.ts';
import { LIMITS } from '../base/limits.ts';
import { bytesToBase64 } from '../crypto/bytes.ts';

export interface TraceLine {
  /** The pure function that decided, and its subject: `step app`. */
  readonly name: string;
  /** Its arguments. */
  readonly input: readonly unknown[];
  readonly output: unknown;
}

/** Values that JSON cannot express are objects with one of these keys. */
export const TRACE_WORDS = { map: '$map', bytes: '$bytes', number: '$number' } as const;

export const encodeTraceLine = (line: TraceLine): string => JSON.stringify(plain(line));

function plain(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value))
    return { [TRACE_WORDS.number]: String(value) };
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return { [TRACE_WORDS.bytes]: bytesToBase64(value) };
  if (value instanceof Map) return { [TRACE_WORDS.map]: [...value].map(plain) };
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

class TraceFile {
  readonly #path: string;
  #bytes: number;
  #isOver = false;

  constructor(path: string) {
    this.#path = path;
    this.#bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  write(line: string): void {
    if (this.#isOver) return;
    if (this.#bytes + line.length > LIMITS.traceBytesMax) {
      return this.#end(`it has its ${LIMITS.traceBytesMax} bytes`);
    }
    try {
      // At once and in order: the line before a crash is the one that is wanted.
      appendFileSync(this.#path, `${line}\n`, { mode: 0o600 });
      this.#bytes += line.length + 1;
    } catch (error) {
      this.#end(error instanceof Error ? error.message : String(error));
    }
  }

  #end(why: string): void {
    this.#isOver = true;
    writeNote(`trace ${this.#path} ends: ${why}`);
  }
}

const { DROVER_TRACE: path = '' } = process.env;
const file = path === '' ? null : new TraceFile(path);

/** True when this process records its decisions. */
export const isTracing = file !== null;

/**
 * Decides, and records the decision.
 * @param name the first word is the name of the function in test/replay, a second one its subject
 * @param decide a pure function
 * @param isWorth false for an answer that is not worth recording
 */
export function traced<I extends unknown[], O>(
  name: string,
  decide: (...input: I) => O,
  input: Readonly<I>,
  isWorth: (output: O) => boolean = () => true,
): O {
  const output = decide(...(input as I));
  if (file && isWorth(output)) file.write(encodeTraceLine({ name, input, output }));
  return output;
}
