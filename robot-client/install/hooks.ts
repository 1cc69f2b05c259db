/**
 * Runs one of the integrator's programs, a hook or a module, and returns how it ended. It is
 * foreign code that may
 * hang, print without end or leave children behind: it gets a process group of its own, which is
 * killed at the time-out, an environment of a few names, no input, and only the end of its output
 * is kept.
 * A process that `start` leaves running must live on: a hook ends when its own process ends, not
 * when every process with its output does, and that output is still read so that no such process
 * dies of a closed pipe.
 */

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';
import { errnoOf, wordsOfErrno } from '../../shared/base/errno.ts';
import type { ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { foldLines } from '../../shared/base/printable.ts';
import { redact, redactTail } from '../../shared/base/redact.ts';
import { fitnessOf } from './program-fitness.ts';
import { whyUnsafeProgram, type HookName } from './safe-paths.ts';
import { leftOut, PATH_DEFAULT } from './search-path.ts';

export type { HookName };

/** `output` is what it wrote last to stdout and stderr, as text. */
export type HookResult =
  | { readonly kind: 'absent' }
  | { readonly kind: 'ok'; readonly output: string }
  | { readonly kind: 'busy'; readonly output: string }
  | {
      readonly kind: 'failed';
      /** Null when it was ended by a signal, or could not be started at all. */
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly output: string;
      /**
       * The first: why it was not even started. The second: it ran, and found no program of a
       * name, while a folder is left out of PATH.
       */
      readonly code?: 'PROGRAM_UNSAFE' | 'PATH_UNSAFE';
      /** The folder that is left out, with the command that repairs it. */
      readonly left?: string;
    }
  | { readonly kind: 'timedOut'; readonly output: string };

export interface HookRun {
  readonly folder: string;
  readonly name: HookName;
  readonly timeoutMs: number;
  /** Only names that start with DROVER_ are passed on. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Holds the number of the process before the program runs; not written when it is left out. */
  readonly noteFile?: string | undefined;
  /** Told the end of what it printed, more of it than the result has, also when it was aborted. */
  readonly onOutput?: ((label: string, text: string) => void) | undefined;
  /** Told the number of its first process. */
  readonly onBegin?: ((leader: number) => void) | undefined;
  /** Told when the program ended by itself and left processes in its group. */
  readonly onRest?: (() => void) | undefined;
}

type Passed = 'timeoutMs' | 'env' | 'signal' | 'noteFile' | 'onOutput' | 'onBegin' | 'onRest';

export interface ProgramRun extends Pick<HookRun, Passed> {
  readonly path: string;
  /** In messages, such as `hook ready`. */
  readonly label: string;
  readonly args?: readonly string[];
  /** Exit 75 means: ask again later. */
  readonly mayBeBusy: boolean;
  /** The program is killed, and has failed, as soon as it has written more to stdout. */
  readonly stdoutBytesMax?: number | undefined;
  /** Told what the program wrote last to stdout alone, before the result. */
  onStdout?(text: string): void;
}

type HookProcess = ChildProcessByStdio<null, Readable, Readable>;

/** Of a hook's output in a report; the log of the update has more. */
const QUOTED_CHARS_MAX = 320; // dpkg names the cause six lines before its end
const QUOTED_LINES_MAX = 6;
/** EX_TEMPFAIL of sysexits.h: ask again later. */
const BUSY_EXIT = 75;
const MAY_BE_BUSY: readonly HookName[] = ['ready', 'health'];
/** A shell ends so when it finds no program of a name. */
const NOT_FOUND_EXIT = 127;

const failed = (output: string) =>
  ({ kind: 'failed', exitCode: null, signal: null, output }) as const;

const flooded = (bytesMax: number): HookResult =>
  failed(`it wrote more than ${bytesMax} bytes to stdout, and was killed`);

/** Rejects with the signal's reason only; whatever the hook does is a result. */
export async function runHook(run: HookRun): Promise<HookResult> {
  const { folder, name } = run;
  const mayBeBusy = MAY_BE_BUSY.includes(name);
  const program = { path: `${folder}/${name}`, label: `hook ${name}`, mayBeBusy };
  const result = await runForeign({ ...run, ...program });
  const left = leftOut();
  if (left === null || result.kind !== 'failed' || result.exitCode !== NOT_FOUND_EXIT)
    return result;
  return { ...result, code: 'PATH_UNSAFE', left: left.message };
}

/** As `runHook`. */
export async function runForeign(run: ProgramRun): Promise<HookResult> {
  run.signal?.throwIfAborted();
  const { path, label, args = [], noteFile } = run;
  const unfit = await whyUnfit(path, label);
  if (unfit !== null) return unfit;
  run.signal?.throwIfAborted(); // from here on an abort kills the program
  return await new Promise((resolve, reject) => {
    let child: HookProcess;
    try {
      const [file, words] = noteFile === undefined ? [path, args] : noted(noteFile, path, args);
      child = spawn(file, words, {
        cwd: '/', // a hook must not hold a release folder that is to be removed
        detached: true,
        env: environmentOf(run.env),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    } catch (error) {
      return resolve(failed(`${label} could not be started: ${wordsOfErrno(error)}`));
    }
    if (child.pid !== undefined) run.onBegin?.(child.pid);
    follow(child, run, resolve, reject);
  });
}

/**
 * The shell becomes the program, so the number that it notes is that of the program. The name of
 * the run stands behind it (modules/processes.ts).
 */
const noted = (
  noteFile: string,
  path: string,
  args: readonly string[],
): readonly [string, readonly string[]] => [
  '/bin/sh',
  ['-c', 'echo "$$ $DROVER_RUN" >"$0"; exec "$@"', noteFile, path, ...args],
];

/** Null when the program can be run. */
async function whyUnfit(path: string, label: string): Promise<HookResult | null> {
  // Also for one that is absent: in such a folder another user may have taken a hook away.
  const unsafe = await whyUnsafeProgram(path, label);
  if (unsafe) return { ...failed(unsafe.message), code: 'PROGRAM_UNSAFE' };
  const fitness = await fitnessOf(path);
  switch (fitness.kind) {
    case 'fit':
      return null;
    case 'absent':
      return { kind: 'absent' };
    case 'unfit':
      return failed(`${label} ${fitness.why}`);
  }
}

function environmentOf(env: Readonly<Record<string, string>>): Record<string, string> {
  const { PATH, HOME, LANG } = process.env;
  const own = Object.entries(env).filter(([name]) => name.startsWith('DROVER_'));
  return {
    PATH: PATH ?? PATH_DEFAULT,
    HOME: HOME ?? '/',
    LANG: LANG ?? 'C.UTF-8',
    ...Object.fromEntries(own),
  };
}

function follow(
  child: HookProcess,
  { label, mayBeBusy, timeoutMs, signal, onStdout, onOutput, ...more }: ProgramRun,
  resolve: (result: HookResult) => void,
  reject: (reason: unknown) => void,
): void {
  const words = new LastWords(onOutput ? LIMITS.hookLogBytesMax : LIMITS.hookOutputBytesMax);
  const stdout = new LastWords(LIMITS.hookOutputBytesMax);
  const { stdoutBytesMax: stdoutMax = Infinity } = more;
  child.stdout.on('data', (bytes: Buffer) => {
    words.add(bytes);
    stdout.add(bytes);
    if (stdout.total > stdoutMax && child.exitCode === null) kill();
  });
  child.stderr.on('data', (bytes: Buffer) => words.add(bytes));
  let [timedOut, leaveBehind]: [boolean, NodeJS.Timeout | undefined] = [false, undefined];

  const end = (settle: () => void) => {
    clearTimeout(timer);
    clearTimeout(leaveBehind);
    signal?.removeEventListener('abort', kill);
    letGo(child);
    settle();
  };
  const settled = (exitCode: number | null, killedBy: string | null) => {
    const safe = words.safe();
    onOutput?.(label, words.logged(safe));
    if (signal?.aborted === true) return end(() => reject(signal.reason));
    onStdout?.(stdout.text());
    if (!timedOut && hasGroup(child.pid)) more.onRest?.();
    if (stdout.total > stdoutMax) return end(() => resolve(flooded(stdoutMax)));
    const output = lastChars(safe, LIMITS.hookOutputBytesMax);
    end(() => resolve(resultOf({ mayBeBusy, timedOut, exitCode, killedBy, output })));
  };
  const kill = () => {
    killGroup(child.pid);
    clearTimeout(leaveBehind);
    leaveBehind = setTimeout(() => settled(null, 'SIGKILL'), LIMITS.hookKillWaitMs);
  };
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, timeoutMs);
  signal?.addEventListener('abort', kill);

  child.on('error', (error) => {
    end(() => resolve(failed(`${label} could not be started: ${wordsOfErrno(error)}`)));
  });
  child.once('exit', (exitCode, killedBy) => {
    clearTimeout(timer); // from here on the group's number may belong to another program
    signal?.removeEventListener('abort', kill);
    clearTimeout(leaveBehind);
    // `close` only comes when every process with the output is gone: a daemon must not delay us.
    const drain = setTimeout(() => settled(exitCode, killedBy), LIMITS.hookDrainMs);
    child.once('close', () => {
      clearTimeout(drain);
      settled(exitCode, killedBy);
    });
  });
}

function resultOf(end: {
  mayBeBusy: boolean;
  timedOut: boolean;
  exitCode: number | null;
  killedBy: string | null;
  output: string;
}): HookResult {
  const { exitCode, output } = end;
  if (exitCode === 0) return { kind: 'ok', output }; // also when its end and the time-out met
  if (end.timedOut) return { kind: 'timedOut', output };
  if (exitCode === BUSY_EXIT && end.mayBeBusy) return { kind: 'busy', output };
  return { kind: 'failed', exitCode, signal: end.killedBy, output };
}

/** @param pid of the program that leads the group; undefined when it never started */
export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended at this very moment, and `exit` follows; or it runs as another user now, and is left
    // behind after `hookKillWaitMs`. Either way nothing more can be done here.
  }
}

/** True while a process of that group lives. */
function hasGroup(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(-pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EPERM'; // of another user
  }
}

/** The output of a daemon is read and dropped from now on, without keeping this process alive. */
function letGo(child: HookProcess): void {
  for (const stream of [child.stdout, child.stderr]) {
    stream.removeAllListeners('data');
    stream.resume();
    (stream as Readable & { unref?: () => void }).unref?.();
  }
  child.unref();
}

/**
 * The last `bytesMax` bytes of all that was added, and some before them: secrets are taken out
 * before the text is cut, and what marks one as a secret may stand before the cut.
 */
class LastWords {
  readonly #bytesMax: number;
  readonly #keptMax: number;
  #bytes = Buffer.alloc(0);
  isCut = false;
  /** Of all that was added. */
  total = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#keptMax = bytesMax + LIMITS.hookOverlapBytes;
  }

  add(bytes: Buffer): void {
    this.total += bytes.byteLength;
    // Copied, so that a small rest does not hold a large read buffer.
    const joined = Buffer.concat([this.#bytes, bytes.subarray(-this.#keptMax)]);
    this.isCut ||= this.#bytes.byteLength + bytes.byteLength > this.#keptMax;
    this.#bytes = Buffer.from(joined.subarray(-this.#keptMax));
  }

  /** As it was printed. */
  text(): string {
    const end = this.#bytes.subarray(-this.#bytesMax).toString('utf8');
    const isCut = this.isCut || this.#bytes.byteLength > this.#bytesMax;
    return isCut ? fromLine(end) : end;
  }

  /** Without secrets, and longer than `bytesMax`: cut it with `lastChars`. */
  safe(): string {
    const all = this.#bytes.toString('utf8');
    return this.isCut ? redactTail(all) : redact(all);
  }

  /** @param safe as it came from `safe` */
  logged(safe: string): string {
    const mark = this.isCut ? '[its first lines are not kept]\n' : '';
    return `${mark}${lastChars(safe, this.#bytesMax)}`;
  }
}

/** The end of a text, from the begin of a line where there is one. */
const lastChars = (text: string, max: number): string =>
  text.length <= max ? text : fromLine(text.slice(-max));

/** From the begin of the next line, unless there is none. */
function fromLine(text: string): string {
  const rest = text.slice(text.indexOf('\n') + 1);
  return rest.trim() === '' ? text : rest;
}

/** The end says why: the last lines as one, and of these the last characters. */
function endOf(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const text = foldLines(lines.slice(-QUOTED_LINES_MAX).join('\n'));
  const isCut = lines.length > QUOTED_LINES_MAX || text.length > QUOTED_CHARS_MAX;
  return `${isCut ? '…' : ''}${text.slice(-QUOTED_CHARS_MAX)}`;
}

/**
 * The failure of a program of the integrator. One that was not even run, or that misses a folder of
 * PATH, has a code of its own, with the hint that repairs it: no version is to blame for it.
 */
export function hookFailure(
  result: HookResult,
  code: ErrorCode,
  what: string,
  hint?: string,
): DroverError {
  if (result.kind !== 'failed' || !result.code) {
    return new DroverError(code, `${what}: ${describeHook(result)}`, hint ? { hint } : {});
  }
  const why = result.left === undefined ? result.output : `${describeEnd(result)}; ${result.left}`;
  return new DroverError(result.code, `${what}: ${why}`);
}

/** One line for reports, with the end of the hook's output. */
export function describeHook(result: HookResult): string {
  // Without secrets before it is cut: the name of a secret may stand before the cut.
  const said = 'output' in result ? endOf(redact(result.output)) : '';
  const words = said === '' ? '' : ` (${said})`;
  switch (result.kind) {
    case 'absent':
      return 'absent';
    case 'ok':
      return 'succeeded';
    case 'busy':
      return `busy${words}`;
    case 'timedOut':
      return `no end within its time-out${words}`;
    case 'failed':
      if (result.left !== undefined) return `${describeEnd(result)} (${result.code})`;
      if (result.code) return `${said} (${result.code})`;
      // It was not even started, and the text says why.
      if (result.exitCode === null && result.signal === null && said !== '') return said;
      return describeEnd(result);
  }
}

function describeEnd(result: HookResult & { readonly kind: 'failed' }): string {
  const said = endOf(redact(result.output));
  const words = said === '' ? '' : ` (${said})`;
  return `exit ${result.exitCode ?? result.signal ?? 'unknown'}${words}`;
}
