/**
 * Runs the `zstd` program as a child process: a filter from bytes to bytes with a dictionary file.
 * Its output is not trusted, and the caller hashes it. The child gets no environment but its search
 * path, a time-out, and a bound on its error output.
 */

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { resolve } from 'node:path';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { PatchProgram } from '../base/ports.ts';
import { printable } from '../base/printable.ts';

export interface ZstdRun {
  /** `zstd`, or a path of one. */
  readonly program: string;
  readonly args: readonly string[];
  readonly input: AsyncIterable<Uint8Array>;
  /** Awaited before more is read; what it throws ends the child. The piece is its to keep. */
  take(piece: Uint8Array): void | Promise<void>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Bound on its error output in one message. */
const WORDS_CHARS_MAX = 400;
/** `--patch-from` came with it. */
const VERSION_LEAST = [1, 4, 5] as const;

/**
 * @throws DroverError ZSTD_MISSING, ZSTD_FAILED, ZSTD_TIMED_OUT, or what `input` or `take` threw, or
 *   the signal's reason
 */
export async function runZstd(run: ZstdRun): Promise<void> {
  run.signal?.throwIfAborted();
  const program = run.program.includes('/') ? resolve(run.program) : run.program;
  await new ZstdChild(run, start(program, run)).end();
}

/** Node throws what the system says of memory, of a sick disk, or of a program in the making. */
function start(program: string, run: ZstdRun): ChildProcessWithoutNullStreams {
  try {
    return spawn(program, [...run.args], {
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? PATH_DEFAULT, LC_ALL: 'C' }, // not ZSTD_CLEVEL and its like
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  } catch (error) {
    throw unstartable(run.program, error);
  }
}

function unstartable(program: string, error: unknown): DroverError {
  const errno = error instanceof Error && 'code' in error ? error.code : '';
  const code = errno === 'ENOENT' || errno === 'EACCES' ? 'ZSTD_MISSING' : 'ZSTD_FAILED';
  const why = error instanceof Error ? error.message : String(error);
  return new DroverError(code, `run ${program}: ${why}`, { cause: error });
}

class ZstdChild {
  readonly #run: ZstdRun;
  readonly #child: ChildProcessWithoutNullStreams;
  #words = Buffer.alloc(0);
  #failure: { readonly error: unknown } | null = null;
  #leave: () => void = () => undefined;
  #leaving: NodeJS.Timeout | undefined;

  constructor(run: ZstdRun, child: ChildProcessWithoutNullStreams) {
    this.#run = run;
    this.#child = child;
  }

  async end(): Promise<void> {
    const { timeoutMs, signal, program } = this.#run;
    const child = this.#child;
    const timer = setTimeout(() => {
      const why = `no end after ${timeoutMs / 1000} s`;
      this.#fail(new DroverError('ZSTD_TIMED_OUT', `run ${program}: ${why}`));
    }, timeoutMs);
    const onAbort = () => this.#fail(signal?.reason);
    signal?.addEventListener('abort', onAbort);
    child.stderr.on('data', (bytes: Buffer) => {
      this.#words = Buffer.concat([this.#words, bytes]).subarray(-LIMITS.zstdStderrBytesMax);
    });
    const ended = new Promise<string | null>((resolve) => {
      this.#leave = () => resolve('SIGKILL');
      child.on('error', (error) => this.#fail(unstartable(program, error)));
      child.once('close', (code, killedBy) => resolve(code === 0 ? null : `${killedBy ?? code}`));
    });
    try {
      await Promise.all([this.#feed(), this.#drain()]);
      const how = await ended;
      if (this.#failure) throw this.#failure.error;
      if (how !== null) throw this.#failed(how);
    } finally {
      clearTimeout(timer);
      clearTimeout(this.#leaving);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** The first failure is the one that is thrown; the others follow from it. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#child.kill('SIGKILL');
    // One that is stuck in the kernel is left behind.
    this.#leaving ??= setTimeout(() => this.#leave(), LIMITS.hookKillWaitMs);
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
  }

  #failed(how: string): DroverError {
    const words = printable(this.#words.toString('utf8').trim(), WORDS_CHARS_MAX);
    return new DroverError(
      'ZSTD_FAILED',
      `run ${this.#run.program}: it ended with ${how}: ${words}`,
    );
  }

  async #feed(): Promise<void> {
    const { stdin } = this.#child;
    // A child that ends early closes its input; its exit code says why.
    stdin.on('error', () => undefined);
    try {
      for await (const piece of this.#run.input) {
        if (stdin.destroyed) return;
        if (!stdin.write(piece)) await roomIn(stdin);
      }
      stdin.end();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #drain(): Promise<void> {
    try {
      for await (const piece of this.#child.stdout as AsyncIterable<Buffer>) {
        await this.#run.take(piece);
      }
    } catch (error) {
      this.#fail(error); // when we ended it, the failure before this one stays
    }
  }
}

function roomIn(stdin: ChildProcessWithoutNullStreams['stdin']): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stdin.off('drain', done);
      stdin.off('close', done);
      resolve();
    };
    stdin.on('drain', done);
    stdin.on('close', done);
  });
}

/**
 * The version of a zstd that can patch.
 * @throws DroverError ZSTD_MISSING, also for one that is too old
 */
export async function probeZstd(program: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  await runZstd({
    program,
    args: ['--version'],
    input: nothing(),
    take: (piece) => void pieces.push(piece.slice(0, LIMITS.zstdStderrBytesMax)),
    timeoutMs: LIMITS.zstdProbeMsMax,
  });
  const text = Buffer.concat(pieces.slice(0, 1)).toString('utf8');
  const version = /v(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [];
  const least = VERSION_LEAST.findIndex((want, at) => want !== version[at]);
  const isEnough = least === -1 || (version[least] ?? -1) > (VERSION_LEAST[least] ?? 0);
  if (isEnough) return version.join('.');
  const got = version.length === 3 ? version.join('.') : printable(text.slice(0, 80));
  throw new DroverError(
    'ZSTD_MISSING',
    `run ${program}: too old (got ${got}, want ${VERSION_LEAST.join('.')} or newer)`,
  );
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // asking for the version takes no input
}

/** @param program `zstd`, or a path of one */
export function zstdProgram(program: string): PatchProgram {
  return {
    unpack: ({ dictionary, frame, take, signal }) =>
      runZstd({
        program,
        args: [
          ...['-d', '-q', '-c', `--memory=${LIMITS.deltaFreshBytesMax}`],
          ...(dictionary === null ? [] : [`--patch-from=${dictionary}`]),
        ],
        input: frame,
        take,
        timeoutMs: LIMITS.zstdDecodeMsMax,
        signal,
      }),
  };
}

/** Null when there is none that can patch: the robot then takes full payloads, and reports that. */
export async function findZstdProgram(
  program: string,
  onMissing: (error: unknown) => void,
): Promise<PatchProgram | null> {
  try {
    await probeZstd(program);
    return zstdProgram(program);
  } catch (error) {
    onMissing(error);
    return null;
  }
}
