/** Reads the memory and CPU time of a process from /proc. Linux only, as robots and brokers are. */

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
/** Fields of /proc/PID/stat behind the name: user and system time, then those of ended children. */
const OWN_TIMES = [11, 12];
const FAMILY_TIMES = [11, 12, 13, 14];

function cpuSecondsIn(stat: string, times: readonly number[]): number {
  // The second field is the name in brackets and may hold spaces: fields are counted behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return times.reduce((sum, at) => sum + Number(fields[at]), 0) / CLOCK_TICKS_PER_SECOND;
}

/** @param stat text of /proc/PID/stat: the process and its children that have ended count */
export const familyCpuSeconds = (stat: string): number => cpuSecondsIn(stat, FAMILY_TIMES);

export async function readProcessStats(pid: number): Promise<ProcessStats> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const sizeMiB = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return {
    rssMiB: sizeMiB('VmRSS'),
    ownMiB: sizeMiB('RssAnon'),
    peakRssMiB: sizeMiB('VmHWM'),
    cpuSeconds: cpuSecondsIn(stat, OWN_TIMES),
  };
}
