/** What a process used, from /proc: Linux only, which is where robots and brokers run. */

import { readFile } from 'node:fs/promises';

export interface ProcessStats {
  /** Resident set now (VmRSS), and what of it no other process shares (RssAnon). */
  readonly rssMiB: number;
  readonly ownMiB: number;
  /** Highest resident set so far (VmHWM). */
  readonly peakRssMiB: number;
  /** User and system time so far. */
  readonly cpuSeconds: number;
}

const CLOCK_TICKS_PER_SECOND = 100; // USER_HZ of every Linux ABI we run on

export async function readProcessStats(pid: number): Promise<ProcessStats> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const sizeMiB = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The second field is the name in brackets and may hold spaces: fields are counted behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return {
    rssMiB: sizeMiB('VmRSS'),
    ownMiB: sizeMiB('RssAnon'),
    peakRssMiB: sizeMiB('VmHWM'),
    cpuSeconds: ticks / CLOCK_TICKS_PER_SECOND,
  };
}
