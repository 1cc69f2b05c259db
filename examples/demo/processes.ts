/** The demo's programs as real processes, each with its own log file, all ended when the demo is. */

import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { BUNDLED } from '../../packaging/bundled.ts';
import { REPOSITORY } from './workshop.ts';

export type Program = keyof typeof BUNDLED;

export interface Started {
  readonly child: ChildProcess;
  /** First line of its stdout, when it was waited for. */
  readonly line: string;
}

export class Processes {
  readonly #running = new Set<ChildProcess>();
  readonly #logs: string;

  constructor(logs: string) {
    this.#logs = logs;
  }

  /** Runs a program to its end; its output is shown when `show`, and thrown when it fails. */
  async run(
    program: Program,
    args: readonly string[],
    options: { show?: boolean; env?: Record<string, string>; mayFail?: boolean } = {},
  ): Promise<string> {
    const child = this.#spawn(program, args, options.env);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (piece: Buffer) => {
        output += piece.toString();
        if (options.show) process.stdout.write(piece.toString().replace(/^(?=.)/gm, '    '));
      });
    }
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    if (code === 0 || options.mayFail) return output;
    throw new Error(`${program} ${args.join(' ')}: exit ${code}\n${output}`);
  }

  /** Starts a program that stays; resolves with its first line on stdout when `waitForLine`. */
  async start(
    program: Program,
    name: string,
    args: readonly string[],
    options: { env?: Record<string, string>; waitForLine?: boolean } = {},
  ): Promise<Started> {
    const child = this.#spawn(program, args, options.env);
    const log = createWriteStream(join(this.#logs, `${name}.log`), { flags: 'a' });
    child.stderr?.pipe(log, { end: false });
    if (!child.stdout) throw new Error('no stdout');
    const lines = createInterface({ input: child.stdout });
    const first = new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      child.once('exit', (code) => reject(new Error(`${name} ended at once with exit ${code}`)));
    });
    first.catch(() => {}); // only interesting to who waits for the line
    lines.on('line', (line) => log.write(`${line}\n`));
    return { child, line: options.waitForLine ? await first : '' };
  }

  async kill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.#running].map((child) => this.kill(child, 'SIGTERM')));
  }

  #spawn(
    program: Program,
    args: readonly string[],
    env: Record<string, string> = {},
  ): ChildProcess {
    const main = join(REPOSITORY, 'dist', `${BUNDLED[program]}.js`);
    const child = spawn(process.execPath, [main, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#running.add(child);
    child.once('exit', () => this.#running.delete(child));
    return child;
  }
}
