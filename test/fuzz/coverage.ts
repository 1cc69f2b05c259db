/**
 * Reads from V8's own coverage which of the product's code was reached. One reading takes a
 * millisecond, so it is done once for a whole batch of inputs.
 */

import { Session, type Profiler } from 'node:inspector';

type Span = readonly [from: number, to: number];

/** Compiled code of the product, not of tests and libraries; and what was planted to be found. */
const IS_OURS = /\/dist\/(?:broker|publisher|robot-client|shared|test\/fuzz\/planted)/;

export class Coverage {
  readonly #session = new Session();
  /** Spans of each function that nothing has reached yet. */
  readonly #unreached = new Map<string, readonly Span[]>();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
  }

  get functions(): number {
    return this.#unreached.size;
  }

  close(): void {
    this.#session.disconnect();
  }

  /** True when what ran since the last look reached code that nothing had reached before. */
  hasGrown(keeps: boolean): boolean {
    let grown = false;
    for (const [name, spans] of this.#look()) {
      const before = this.#unreached.get(name);
      const left = before ? common(before, spans) : spans;
      if (before && size(left) >= size(before)) continue;
      grown = true;
      if (keeps) this.#unreached.set(name, left);
    }
    return grown;
  }

  *#look(): Generator<readonly [string, readonly Span[]]> {
    let taken: Profiler.ScriptCoverage[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error) throw error;
      taken = result;
    });
    for (const { url, functions } of taken) {
      if (!IS_OURS.test(url)) continue;
      for (const one of functions) {
        const { startOffset } = one.ranges[0] as Profiler.CoverageRange;
        yield [`${url}:${startOffset}`, unreachedOf(one.ranges)];
      }
    }
  }
}

/** Ranges are nested, the outer one first; the innermost says. */
function unreachedOf(ranges: readonly Profiler.CoverageRange[]): Span[] {
  let spans: Span[] = [];
  for (const { startOffset, endOffset, count } of ranges) {
    const own: Span = [startOffset, endOffset];
    spans = count === 0 ? [...spans, own] : spans.flatMap((span) => without(span, own));
  }
  return spans.toSorted(([a], [b]) => a - b);
}

function without([from, to]: Span, [start, end]: Span): Span[] {
  if (end <= from || start >= to) return [[from, to]];
  const rest: Span[] = [
    [from, start],
    [end, to],
  ];
  return rest.filter(([a, b]) => a < b);
}

function common(one: readonly Span[], two: readonly Span[]): Span[] {
  return one.flatMap(([a, b]) =>
    two.flatMap(([c, d]): Span[] => {
      const [from, to] = [Math.max(a, c), Math.min(b, d)];
      return from < to ? [[from, to]] : [];
    }),
  );
}

const size = (spans: readonly Span[]): number =>
  spans.reduce((sum, [from, to]) => sum + to - from, 0);
