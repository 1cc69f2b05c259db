/**
 * Runs a program that talks to the boot loader (fw_setenv, rauc, one of the integrator) to its end.
 * It is external code, so it gets its own process group, an environment of a few variables, and no
 * input. Its output is stored only up to a bound. When it is late, all that it started is killed
 * before the failure is reported: a slot must not be marked after the agent decided otherwise.
 */

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { killGroup } from '../install/hooks.ts';
import { whyUnsafeProgram } from '../install/safe-paths.ts';
import { judgeSearchPath, PATH_DEFAULT } from '../install/search-path.ts';
import { endAll } from '../modules/orphans.ts';
import { nameRun, RUN_VARIABLE } from '../modules/processes.ts';

/** Characters from the end of its output that an error repeats. */
const LAST_WORDS_CHARS = 300;
/** Variables that such a program may need to find its daemon. */
const PASSED_ON = [
  ...['HOME', 'DBUS_SYSTEM_BUS_ADDRESS'],
  ...['DBUS_SESSION_BUS_ADDRESS', 'DBUS_STARTER_BUS_TYPE'],
];

type BootProgram = ChildProcessByStdio<null, Readable, Readable>;

interface Ended {
  readonly output: string;
  readonly failure: string | null;
  /** Number of its first process; null when it was killed by nobody here, or never started. */
  readonly killed: number | null;
}

/**
 * @returns its standard output
 * @throws DroverError BOOT_TOOL_FAILED when it does not exist, fails, or exceeds the time-out;
 *   PROGRAM_UNSAFE when another user may replace it
 */
export async function runBootProgram(
  program: string,
  args: readonly string[],
  msMax: number = LIMITS.bootProgramMsMax,
): Promise<string> {
  // A bare name is looked for in the folders of PATH that are safe.
  const unsafe = program.includes('/') ? await whyUnsafeProgram(program, program) : null;
  if (unsafe) throw new DroverError(unsafe.code, `run ${unsafe.message}`, { hint: unsafe.hint });
  const name = await nameRun();
  const env = { ...(await environment()), [RUN_VARIABLE]: name };
  const { output, failure, killed } = await runToEnd([program, ...args], env, msMax);
  if (failure === null) return output;
  const run = { name, root: null, marker: RUN_VARIABLE, isFresh: true };
  const isOver = killed === null || (await endAll({ ...run, leader: killed }));
  const called = printable([program, ...args].join(' '));
  const left = isOver ? '' : ', and a process of it cannot be killed';
  throw new DroverError('BOOT_TOOL_FAILED', `run ${called}: ${failure}${left}`);
}

/**
 * Finds a program without running it, before anything depends on it.
 * @param program a name to be looked for in PATH, or a path, which is taken from /
 * @throws DroverError BOOT_TOOL_FAILED, with what to do in the hint
 */
export async function assertRunnable(program: string): Promise<void> {
  const folders = ((await environment())['PATH'] ?? '').split(':');
  const isPath = program.includes('/');
  const paths = isPath ? [resolve('/', program)] : folders.map((one) => `${one}/${program}`);
  let isThere = false;
  for (const path of paths) {
    const found = await stat(path).catch(() => null);
    if (!found?.isFile()) continue;
    isThere = true;
    const canRun = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (canRun) return;
  }
  const name = printable(program);
  const why = isThere ? 'it is not executable' : isPath ? 'it is not there' : 'it is not in PATH';
  const there = isPath ? `put it there: ls -l ${name}` : 'install it, or name another program';
  const hint = isThere ? `run chmod +x ${name}` : there;
  throw new DroverError('BOOT_TOOL_FAILED', `find program ${name}: ${why}`, { hint });
}

async function environment(): Promise<Record<string, string>> {
  const kept = PASSED_ON.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const folders = [process.env['PATH'], PATH_DEFAULT].filter(Boolean).join(':');
  const { kept: path } = await judgeSearchPath(folders);
  return { ...Object.fromEntries(kept), PATH: path, LC_ALL: 'C' };
}

async function runToEnd(
  [program, ...args]: readonly [string, ...string[]],
  env: Record<string, string>,
  msMax: number,
): Promise<Ended> {
  return await new Promise((resolve) => {
    let child: BootProgram;
    try {
      child = spawn(program, args, {
        cwd: '/',
        detached: true,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    } catch (error) {
      // Node throws for want of memory, or for a program that is being written.
      const failure = error instanceof Error ? error.message : String(error);
      return resolve({ output: '', failure, killed: null });
    }
    const [stdout, stderr] = [new Bounded(), new Bounded()];
    child.stdout.on('data', (bytes: Buffer) => {
      stdout.add(bytes);
      if (stdout.isFull) killGroup(child.pid);
    });
    child.stderr.on('data', (bytes: Buffer) => stderr.add(bytes));
    let isLate = false;
    let leaveBehind: NodeJS.Timeout | undefined;
    const end = (failure: string | null): void => {
      clearTimeout(timer);
      clearTimeout(leaveBehind);
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      child.unref();
      const killed = isLate || stdout.isFull ? (child.pid ?? null) : null;
      resolve({ output: stdout.text(), failure, killed });
    };
    const timer = setTimeout(() => {
      isLate = true;
      killGroup(child.pid);
      const why = `it took more than ${msMax / 1000} s`;
      leaveBehind = setTimeout(() => end(why), LIMITS.hookKillWaitMs); // stuck in the kernel
    }, msMax);
    child.on('error', (error) => end(error.message));
    child.on('close', (code, signal) => {
      if (isLate) end(`it took more than ${msMax / 1000} s`);
      else if (stdout.isFull) end(`it printed more than ${LIMITS.bootOutputBytesMax} bytes`);
      else if (code === 0) end(null);
      else end(`${signal ?? `exit code ${code}`}${lastWords(stderr.text() || stdout.text())}`);
    });
  });
}

function lastWords(text: string): string {
  const words = printable(
    text.trim().slice(-LAST_WORDS_CHARS).replaceAll(/\s+/g, ' '),
    LAST_WORDS_CHARS,
  );
  return words === '' ? ', without a word' : `, ${words}`;
}

/** Stores the first bytes of an output; bytes after the bound are read and dropped. */
class Bounded {
  readonly #pieces: Buffer[] = [];
  #bytes = 0;

  get isFull(): boolean {
    return this.#bytes > LIMITS.bootOutputBytesMax;
  }

  add(piece: Buffer): void {
    this.#bytes += piece.byteLength;
    if (!this.isFull) this.#pieces.push(piece);
  }

  text(): string {
    return Buffer.concat(this.#pieces).toString('utf8');
  }
}
