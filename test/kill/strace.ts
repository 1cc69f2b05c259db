/**
 * System calls that change files, seen and cut with strace: a census lists them in order for one
 * run, and each is then a point at which another run of the same program is killed, before the call
 * does anything. The state before call N+1 is the state after call N, so that every state which a
 * kill can leave is visited. An fsync is no point: before and after it a kill leaves the same.
 * strace counts calls for each thread: the program must do its file work in one (UV_THREADPOOL_SIZE
 * of 1). An open is identified by its path, because every thread opens files for other reasons.
 * strace comes when the program has loaded and asks to go on, since it slows all that it sees.
 */

import { readdir, readFile } from 'node:fs/promises';
import { startChild, type Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/**
 * `fallocate` is made by a program of that name, whose death leaves what a file system without
 * reservations has anyway. A question mark lets strace pass over what a processor does not have.
 */
const CHANGING = [
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'unlink', 'unlinkat', 'rmdir'],
  ...['symlink', 'symlinkat', 'mkdir', 'mkdirat', 'chmod', 'fchmod', 'fchmodat'],
  ...['truncate', 'ftruncate', 'pwrite64', 'pwritev', 'copy_file_range'],
  ...['sendfile', 'openat'],
] as const;

export interface KillPoint {
  readonly syscall: string;
  /**
   * Number of the call among those of that name in its thread (for `openat`: of that path), from 1.
   */
  readonly ordinal: number;
  /** Only for `openat`. */
  readonly path: string | null;
  /** As strace printed it, for a failure message. */
  readonly call: string;
}

/** A script that prints `READY` when it has loaded and goes on at SIGUSR2. */
export interface Traced {
  readonly script: string;
  readonly args: readonly string[];
}

export const READY = 'ready';

/** Starts the script, lets strace take hold of every thread of it, and tells it to go on. */
async function runTraced(scope: Scope, traced: Traced, options: readonly string[]): Promise<Child> {
  const env = { UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0', NODE_TEST_CONTEXT: undefined };
  const child = startChild(scope, process.execPath, [traced.script, ...traced.args], { env });
  await child.waitForOutput(new RegExp(`^${READY}$`, 'm'));
  const strace = startChild(scope, 'strace', ['-f', '-qq', '-y', ...options, '-p', `${child.pid}`]);
  await waitUntil('strace to hold every thread', () => strace.ended !== null || isHeld(child.pid), {
    look: () => strace.describe(),
  });
  child.kill('SIGUSR2');
  await Promise.all([child.exit, strace.exit]);
  return child;
}

async function isHeld(pid: number): Promise<boolean> {
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const status = await readFile(`/proc/${pid}/task/${thread}/status`, 'utf8');
    if (/^TracerPid:\s+0$/m.test(status)) return false;
  }
  return true;
}

/**
 * Runs to the end and lists what changed files below `folder`.
 * @throws Error with the output when the program fails
 */
export async function takeCensus(
  scope: Scope,
  traced: Traced,
  place: { folder: string; logPath: string },
): Promise<KillPoint[]> {
  const calls = CHANGING.map((name) => `?${name}`).join(',');
  const options = ['-s', '512', '-o', place.logPath, '-e', `trace=${calls}`];
  const child = await runTraced(scope, traced, options);
  if (child.ended?.code !== 0) throw new Error(child.describe());
  return parseCensus(await readFile(place.logPath, 'utf8'), place.folder);
}

export function parseCensus(log: string, folder: string): KillPoint[] {
  const seen = new Map<string, number>();
  return log.split('\n').flatMap((line) => {
    const match = /^(\d+) +(\w+)\((.*)$/.exec(line);
    if (!match) return [];
    const [, thread = '', syscall = '', rest = ''] = match;
    const path = syscall === 'openat' ? (/"([^"]*)"/.exec(rest)?.[1] ?? '') : null;
    const key = `${thread} ${syscall} ${path ?? ''}`;
    const ordinal = (seen.get(key) ?? 0) + 1;
    seen.set(key, ordinal);
    const isHere = rest.includes(`${folder}/`) || rest.includes(`${folder}>`);
    const failed = /\) += -1 /.test(rest);
    if (!isHere || failed || (syscall === 'openat' && !rest.includes('O_CREAT'))) return [];
    return [{ syscall, ordinal, path, call: `${syscall}(${rest}` }];
  });
}

/** Runs and kills the program as it makes the call. @throws Error when it was not killed there */
export async function killAt(scope: Scope, traced: Traced, point: KillPoint): Promise<void> {
  const { syscall, ordinal, path } = point;
  const child = await runTraced(scope, traced, [
    ...['-o', '/dev/null', '-e', `trace=${syscall}`],
    ...['-e', `inject=${syscall}:signal=SIGKILL:when=${ordinal}`],
    ...(path === null ? [] : ['-P', path]),
  ]);
  if (child.ended?.signal === 'SIGKILL') return;
  throw new Error(`lived through ${point.call}\n${child.describe()}`);
}
