/**
 * Manners of the three programs: errors as `<program>: error: … (CODE)` and `<program>: hint: …`
 * on stderr, exit codes 0 ok, 1 our bug, 2 usage, 3 refused, 4 unreachable, 5 robots left. With
 * --json an error is one JSON object on stdout as well, so that scripts need not read prose.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { unsafeLine } from './owned-file.ts';
import pino, { type Logger } from 'pino';
import { DroverError, refusalOf, toProblem } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { shown, shownJson } from '../base/printable.ts';
import { withoutSecrets } from '../base/secret-words.ts';
import type { Painter } from '../base/tints.ts';
import { coloured } from './colour.ts';

export interface Output {
  readonly json: boolean;
  /** For people; silent with --json. */
  say(line: string): void;
  /** The result: JSON with --json, else the lines, with the colours of `paint` where they may be. */
  result(data: object, lines: readonly string[], paint?: Painter): void;
}

export function makeOutput(json: boolean): Output {
  return {
    json,
    say: (line) => {
      if (!json) writeAnswer(line);
    },
    result: (data, lines, paint) => {
      if (json) return writeJson(data);
      const painted = coloured(lines.map(shown), paint);
      process.stdout.write(painted.map((line) => `${line}\n`).join(''));
    },
  };
}

/**
 * One line of the answer. Robots, hooks and brokers give words that stand in such lines: here, and
 * nowhere else, they lose what steers a terminal.
 */
export const writeAnswer = (line: string): void => {
  process.stdout.write(`${shown(line)}\n`);
};

/** One JSON object of the answer. */
export const writeJson = (data: object): void => {
  process.stdout.write(`${shownJson(JSON.stringify(data))}\n`);
};

/** One line beside the answer: an error, a warning, a note. */
export const writeNote = (line: string): void => {
  process.stderr.write(`${shown(line)}\n`);
};

/** Columns of the terminal that shows the answer; Infinity for a pipe or a file. */
export const terminalColumns = (): number =>
  process.stdout.isTTY ? process.stdout.columns || 80 : Number.POSITIVE_INFINITY;

/** Logs are JSON lines on stderr, so that stdout stays the program's answer. */
export function makeLog(name: string, level = process.env['DROVER_LOG'] ?? 'info'): Logger {
  const destination = pino.destination({
    ...{ fd: 2, sync: true },
    maxLength: LIMITS.logHeldBytesMax,
  });
  destination.on('error', () => undefined); // the line is lost: no log is worth its program
  // systemd and docker show these lines on a terminal as they are.
  const write = (line: string): void => void destination.write(shownJson(line));
  return pino({ name, level, base: { name } }, { write });
}

/** Prints one failure and returns the exit code. */
export function printFailure(program: string, thrown: unknown, json: boolean): number {
  const words = process.argv.slice(2);
  const hash = refusalOf(thrown)?.facts['sha256'] ?? null;
  const problem = withoutSecrets(toProblem(thrown), words, hash);
  if (json) writeJson({ error: problem });
  writeNote(`${program}: error: ${problem.message} (${problem.code})`);
  writeNote(`${program}: hint: ${problem.hint}`);
  if (!(thrown instanceof DroverError) && thrown instanceof Error && process.env['DROVER_DEBUG']) {
    const trace = { ...problem, message: thrown.stack ?? '' };
    writeNote(withoutSecrets(trace, words, hash).message);
  }
  return refusalOf(thrown)?.exit ?? 1;
}

/**
 * Runs a program to its exit code; the process ends when its work has. `--version` alone is
 * answered here.
 */
export async function runProgram(program: string, run: () => Promise<void>): Promise<void> {
  const json = process.argv.includes('--json');
  const [word, ...more] = process.argv.slice(2);
  const lost = guardOutput();
  if (word === '--version' && more.length === 0) {
    process.stdout.write(`${PRODUCT_VERSION}\n`);
    return;
  }
  // Work that waits for nothing any more never ends: a bug, and Node would only end with code 13.
  const isStranded = (): void => {
    process.exitCode = printFailure(program, new Error('the work stopped before its end'), json);
  };
  process.once('beforeExit', isStranded);
  try {
    await run();
  } catch (thrown) {
    process.exitCode = printFailure(program, thrown, json);
  } finally {
    process.off('beforeExit', isStranded);
  }
  await new Promise((resolve) => setImmediate(resolve)); // until a stream has emitted its failure
  const [cause] = lost;
  if (cause === undefined || (process.exitCode ?? 0) !== 0) return;
  const answer = new DroverError('DISK_FULL', `write the answer: ${cause.message}`, { cause });
  process.exitCode = printFailure(program, answer, false);
}

/**
 * A failed write ends no program: a broker whose log is on a full disk still serves its robots, and
 * `recover` still finishes its work. A reader that has left, such as `head`, is no failure at all.
 * Node throws at once what a file refuses, and emits what a pipe refuses.
 * @returns failures of standard output, as they occur
 */
function guardOutput(): readonly Error[] {
  const lost: Error[] = [];
  for (const stream of [process.stdout, process.stderr]) {
    const note = (error: NodeJS.ErrnoException): void => {
      const isFailure = stream === process.stdout && error.code !== 'EPIPE';
      if (isFailure && lost.length === 0) lost.push(error);
    };
    stream.on('error', note);
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    stream.write = (...args: unknown[]): boolean => {
      try {
        return write(...args);
      } catch (error) {
        note(error as NodeJS.ErrnoException);
        const done = args.at(-1);
        if (typeof done === 'function') (done as (failure: unknown) => void)(error);
        return true;
      }
    };
  }
  return lost;
}

/**
 * A small file that a person names. It may be a pipe, as of `--key <(vault …)`, or a device that
 * never ends, so it is read up to a bound.
 * @throws DroverError FILE_UNREADABLE, DOCUMENT_TOO_LARGE
 */
export function readInput(
  path: string,
  what: string,
  bytesMax: number = LIMITS.inputBytesMax,
): Uint8Array {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    const fd = openSync(path, 'r');
    try {
      for (;;) {
        const piece = Buffer.alloc(INPUT_PIECE_BYTES);
        const bytesRead = readSync(fd, piece);
        if (bytesRead === 0) return new Uint8Array(Buffer.concat(pieces));
        pieces.push(piece.subarray(0, bytesRead));
        bytes += bytesRead;
        if (bytes > bytesMax) break;
      }
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read ${what}: ${why}`, { cause });
  }
  const sizes = `got more than ${bytesMax} bytes`;
  throw new DroverError('DOCUMENT_TOO_LARGE', `read ${what}: no such file is so large (${sizes})`);
}

const INPUT_PIECE_BYTES = 65_536;

/**
 * A password or token: never on a command line, where every user of the machine can read it. The
 * line end that an editor leaves is no part of it.
 * @throws DroverError FILE_UNREADABLE
 */
export function readSecret(path: string, what: string): string {
  const line = unsafeLine(path, what);
  if (line !== null) writeNote(`warning: ${line}`);
  return new TextDecoder().decode(readInput(path, `${what} ${path}`)).replace(/\r?\n$/, '');
}

/**
 * Version of the three programs: that of the package, which a test compares with this one.
 */
export const PRODUCT_VERSION = '0.1.0';
