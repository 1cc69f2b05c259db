/** A wait with an end: for work that may hang, such as a write to a disk that died. */

/**
 * The work goes on when the time is over; its failure stays with its owner.
 * @param work must not reject
 * @returns true when it ended within `ms`
 */
export async function endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([work.then(() => true), over]);
  } finally {
    clearTimeout(timer);
  }
}
