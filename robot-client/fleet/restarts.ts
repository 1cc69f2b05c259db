/**
 * Counts the restarts of the application's process, from the output of the `health` hook. The hook
 * prints a total (systemd's NRestarts), which starts again with the unit or the machine; only rises
 * are counted. Sans-I/O.
 */

/** The last line `restarts=N` of a hook's output; null without one. */
export function parseRestarts(output: string): number | null {
  const found = [...output.matchAll(/^restarts=(\d{1,9})\s*$/gm)].at(-1)?.[1];
  return found === undefined ? null : Number(found);
}

/** @param before the reading before; null for the first, where counting begins */
export function newRestarts(before: number | null, now: number): number {
  if (before === null) return 0;
  return now >= before ? now - before : now;
}
