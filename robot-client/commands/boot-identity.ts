/**
 * Tells one boot from another, so that `recover` counts each once however often it is run. The start
 * of a container is a boot as well: it has a PID namespace and a first process of its own.
 */

import { readFileSync, readlinkSync } from 'node:fs';

/** Field `starttime` of proc_pid_stat(5), of those behind the name in brackets. */
const START_TIME = 19;

/** @returns null where the kernel does not say: each run counts as a boot then */
export function bootIdentity(): string | null {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const namespace = readlinkSync('/proc/self/ns/pid');
    const stat = readFileSync('/proc/1/stat', 'utf8');
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[START_TIME];
    return startTime === undefined ? null : `${bootId} ${namespace} ${startTime}`;
  } catch {
    return null;
  }
}
