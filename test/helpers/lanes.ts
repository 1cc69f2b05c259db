/** Runs a list of tasks, only a few of them at a time. */

/**
 * Each item is done once, by one of `count` lanes, which are numbered from 0 on. A failed lane ends;
 * the failure is thrown when all lanes have ended, so that none works on what is taken down then.
 */
export async function inLanes<T>(
  count: number,
  items: Iterable<T>,
  run: (item: T, lane: number) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const work = async (_: unknown, lane: number): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) {
      await run(next.value, lane);
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: count }, work));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
