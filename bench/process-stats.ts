/** What a process used, from /proc: Linux only, which is where robots and brokers run. */

import { readFile } from 'node:fs/promises';

export interface ProcessStats {
  /** Highest resident set so far (VmHWM). */
  readonly peakRssMiB: number;
  /** User and system time so far. */
  readonly cpuSeconds: number;
}

const CLOCK_TICKS_PER_SECOND = 100; // USER_HZ of every Linux ABI we run on

export async function readProcessStats(pid: number): Promise<ProcessStats> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const peakKiB = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]);
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The second field is the name in brackets and may hold spaces: fields are counted behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { peakRssMiB: peakKiB / 1024, cpuSeconds: ticks / CLOCK_TICKS_PER_SECOND };
}
