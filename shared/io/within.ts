/** Work and time: a wait with an end, for a disk that died, and work that comes again and again. */

/**
 * The work continues after the time; its owner handles its failure.
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
 * Repeats work and never runs it twice at once: a slow disk must not pile it up.
 * @param onFailure called with the errors of `work`; the next run comes all the same
 * @returns a function that stops it; a current run goes to its end
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
