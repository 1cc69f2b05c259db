/** Work and time: a wait with an end, for a disk that died, and work that comes again and again. */

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

/**
 * Does work again and again, and never twice at once: a slow disk must not pile it up.
 * @param onFailure hears what `work` throws; the next turn comes all the same
 * @returns ends it; a turn that is going on goes to its end
 */
export function startTicking(
  everyMs: number,
  work: () => Promise<void>,
  onFailure: (error: unknown) => void,
): () => void {
  let isBusy = false;
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    work()
      .catch(onFailure)
      .finally(() => (isBusy = false));
  }, everyMs);
  return () => clearInterval(timer);
}
