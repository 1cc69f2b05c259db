/**
 * Counts how often the process of the application was restarted, from what the `health` hook
 * prints. The hook gives a total of its own (systemd's NRestarts), which begins anew when the unit
 * or the machine does; what counts are the rises. Sans-I/O.
 */

/** The last line `restarts=N` of a hook's words; null when it says nothing of the kind. */
export function parseRestarts(output: string): number | null {
  const found = [...output.matchAll(/^restarts=(\d{1,9})\s*$/gm)].at(-1)?.[1];
  return found === undefined ? null : Number(found);
}

/** @param before the reading before; null for the first, which is where counting begins */
export function newRestarts(before: number | null, now: number): number {
  if (before === null) return 0;
  return now >= before ? now - before : now;
}
