/** Runs a command line of the operator: a secrets manager or a device that signs. */

import { spawn } from 'node:child_process';

export interface CommandBounds {
  readonly msMax: number;
  /** Largest standard output in bytes. */
  readonly bytesMax: number;
}

export interface CommandEnd {
  readonly output: Buffer;
  /** Why it failed; null for exit code 0. */
  readonly failure: string | null;
}

/**
 * Its standard error is ours, so that it can print messages. It never rejects.
 * @param input for its standard input; null passes ours on, for a passphrase
 */
export async function runCommand(
  command: string,
  input: Uint8Array | null,
  { msMax, bytesMax }: CommandBounds,
): Promise<CommandEnd> {
  return await new Promise((resolve) => {
    const stdin = input === null ? 'inherit' : 'pipe';
    const child = spawn(command, { shell: true, stdio: [stdin, 'pipe', 'inherit'] });
    const stdout = child.stdout;
    if (stdout === null) throw new TypeError('runCommand: no pipe');
    const pieces: Buffer[] = [];
    let bytes = 0;
    let stopped: string | null = null;
    // The shell's own children may outlive it: without a reader they end as well, and are not
    // waited for.
    const stop = (why: string): void => {
      stopped = why;
      stdout.destroy();
      child.kill();
    };
    const timer = setTimeout(() => stop(`it took more than ${msMax / 1000} s`), msMax);
    stdout.on('data', (piece: Buffer) => {
      bytes += piece.byteLength;
      if (bytes <= bytesMax) pieces.push(piece);
      else stop(`it printed more than ${bytesMax} bytes`);
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ output: Buffer.alloc(0), failure: error.message });
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const failed = code === 0 ? null : `it ended with ${signal ?? `exit code ${code}`}`;
      resolve({ output: Buffer.concat(pieces), failure: stopped ?? failed });
    });
    // A command that does not read all of its input may still do its work: its exit code decides.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}
