/**
 * Programs as real processes. None outlives its test: not when the test fails, and not when the
 * runner ends the test file after its time-out.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programFile, type DroverProgram } from './program-file.ts';
import type { Scope } from './scope.ts';
import { waitUntil } from './wait-until.ts';

/** The last bytes of a stream that are kept: enough for a failure, bounded for a chatty program. */
const OUTPUT_CHARS_MAX = 256 * 1024;
/** After SIGTERM a program may finish its work for so long. */
const GRACE_MS = 5_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly cwd?: string;
  /** Added to the environment of this process; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to stdin, which is then closed. */
  readonly input?: string | Uint8Array;
  /** The command in front of the program, such as `nsenter` and its options. */
  readonly under?: readonly string[];
}

let folder: string | null = null;

/** Folders that agents keep for themselves: for this test file, not those of the machine. */
function ownFolders(): Record<string, string> {
  if (folder === null) {
    const made = (folder = mkdtempSync(join(tmpdir(), 'drover-own-')));
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  }
  return { RUNTIME_DIRECTORY: join(folder, 'run'), STATE_DIRECTORY: join(folder, 'lib') };
}

export class Child {
  readonly #process: ChildProcess;
  readonly #name: string;
  #stdout = '';
  #stderr = '';
  /** Resolves when the process has ended and its output was read. */
  readonly exit: Promise<Exit>;
  #ended: Exit | null = null;

  constructor(command: string, args: readonly string[], options: ChildOptions) {
    this.#name = [command, ...args].join(' ');
    this.#process = spawn(command, [...args], {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...ownFolders(), ...options.env },
      stdio: 'pipe',
    });
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-OUTPUT_CHARS_MAX);
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-OUTPUT_CHARS_MAX);
    });
    this.#process.stdin?.on('error', () => {}); // a program that does not read its input may end
    this.#process.stdin?.end(options.input ?? '');
    this.exit = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#ended ??= { code, signal };
        resolve(this.#ended);
      };
      this.#process.once('close', end);
      this.#process.once('error', (error) => {
        this.#stderr += `${error.message}\n`;
        end(null, null);
      });
    });
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Null while it runs. */
  get ended(): Exit | null {
    return this.#ended;
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#process.kill(signal);
  }

  /** SIGTERM, then SIGKILL for one that does not listen. */
  async stop(): Promise<Exit> {
    if (this.#ended) return this.#ended;
    this.kill('SIGTERM');
    const force = setTimeout(() => this.kill('SIGKILL'), GRACE_MS);
    const exit = await this.exit;
    clearTimeout(force);
    return exit;
  }

  /** Waits until a line of stdout or stderr matches. @throws Error with the output if it ends first */
  async waitForOutput(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    const found = await waitUntil(
      `${this.#name} to print ${String(pattern)}`,
      () => {
        const match = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
        return match ?? this.#ended;
      },
      { look: () => this.describe(), ...(timeoutMs === undefined ? {} : { timeoutMs }) },
    );
    if (Array.isArray(found)) return found;
    throw new Error(`ended before it printed ${String(pattern)}\n${this.describe()}`);
  }

  /** Command, end and output, for a failure message. */
  describe(): string {
    const end = this.#ended ? `ended with ${JSON.stringify(this.#ended)}` : 'still runs';
    return `${this.#name} (${end})\n--- stdout\n${this.#stdout}\n--- stderr\n${this.#stderr}`;
  }
}

const running = new Set<Child>();
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));
// The runner ends a file that is over its time with SIGTERM, which skips 'exit' unless answered.
process.once('SIGTERM', () => process.exit(143));

/** Starts any program; it is stopped when the test is over. */
export function startChild(
  scope: Scope,
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): Child {
  const [program = command, ...rest] = [...(options.under ?? []), command, ...args];
  const child = new Child(program, rest, options);
  running.add(child);
  child.exit.then(
    () => running.delete(child),
    () => undefined, // it never rejects
  );
  scope.after(async () => {
    await child.stop();
  });
  return child;
}

/** Starts one of our programs, built beside this file. */
export function startDrover(
  scope: Scope,
  program: DroverProgram,
  args: readonly string[],
  options: ChildOptions = {},
): Child {
  return startChild(scope, process.execPath, [programFile(program), ...args], options);
}
