/**
 * Members in the order of their fractions, for the question which come next. Fractions are spread
 * evenly, so a member is found in a bucket of its part of the range. Sans-I/O.
 */

interface Placed {
  readonly robot: string;
  /** In [0, 1). */
  readonly fraction: number;
}

/** With a million members a bucket has a thousand, which is ten steps of a search. */
const BUCKETS = 1_024;

export class FractionOrder<T extends Placed> {
  readonly #buckets = Array.from<T[] | undefined>({ length: BUCKETS });

  /** It must not be there yet. */
  add(one: T): void {
    const at = bucketOf(one.fraction);
    const bucket = (this.#buckets[at] ??= []);
    bucket.splice(placeOf(bucket, one), 0, one);
  }

  delete(one: T): void {
    const bucket = this.#buckets[bucketOf(one.fraction)] ?? [];
    const at = placeOf(bucket, one);
    if (bucket[at] === one) bucket.splice(at, 1);
  }

  /** The first `count` from a fraction on. */
  from(fraction: number, count: number): T[] {
    const found: T[] = [];
    for (let at = bucketOf(fraction); at < BUCKETS && found.length < count; at += 1) {
      for (const one of this.#buckets[at] ?? []) {
        if (one.fraction < fraction) continue;
        if (found.length === count) break;
        found.push(one);
      }
    }
    return found;
  }
}

/** A threshold of 1 is after the last bucket. */
const bucketOf = (fraction: number): number => Math.floor(fraction * BUCKETS);

/** Index of the first that does not come before this one. */
function placeOf(bucket: readonly Placed[], { fraction, robot }: Placed): number {
  let [low, high] = [0, bucket.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const one = bucket[middle] as Placed;
    const isBefore = one.fraction === fraction ? one.robot < robot : one.fraction < fraction;
    if (isBefore) low = middle + 1;
    else high = middle;
  }
  return low;
}
