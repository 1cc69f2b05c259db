/**
 * Manners of the three programs: errors as `<program>: error: … (CODE)` and `<program>: hint: …`
 * on stderr, exit codes 0 ok, 1 our bug, 2 usage, 3 refused, 4 unreachable. With --json an error is
 * one JSON object on stdout as well, so that scripts need not read prose.
 */

import { readFileSync } from 'node:fs';
import pino, { type Logger } from 'pino';
import { DroverError, toProblem } from '../base/errors.ts';

export interface Output {
  readonly json: boolean;
  /** For people; silent with --json. */
  say(line: string): void;
  /** The result: JSON with --json, else the lines. */
  result(data: object, lines: readonly string[]): void;
}

export function makeOutput(json: boolean): Output {
  return {
    json,
    say: (line) => {
      if (!json) process.stdout.write(`${line}\n`);
    },
    result: (data, lines) => {
      process.stdout.write(
        json ? `${JSON.stringify(data)}\n` : lines.map((l) => `${l}\n`).join(''),
      );
    },
  };
}

/** Logs are JSON lines on stderr, so that stdout stays the program's answer. */
export function makeLog(name: string, level = process.env['DROVER_LOG'] ?? 'info'): Logger {
  const destination = pino.destination({ fd: 2, sync: true });
  destination.on('error', onLostReader);
  return pino({ name, level, base: { name } }, destination);
}

/** Prints one failure and returns the exit code. */
export function printFailure(program: string, thrown: unknown, json: boolean): number {
  const problem = toProblem(thrown);
  if (json) process.stdout.write(`${JSON.stringify({ error: problem })}\n`);
  process.stderr.write(`${program}: error: ${problem.message} (${problem.code})\n`);
  process.stderr.write(`${program}: hint: ${problem.hint}\n`);
  if (!(thrown instanceof DroverError) && thrown instanceof Error && process.env['DROVER_DEBUG']) {
    process.stderr.write(`${thrown.stack ?? ''}\n`);
  }
  return thrown instanceof DroverError ? thrown.exit : 1;
}

export interface Program {
  readonly program: string;
  readonly commands: readonly string[];
  /** Commands of a command: `trust` has `init`, `rotate` and others. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /** It has work without a command as well. */
  readonly runsWithout: boolean;
}

/**
 * Runs a program to its exit code; the process ends when its work has. `--version` alone is
 * answered here. An unknown command is named before options are missed.
 * @param on its name alone when it names its commands itself
 */
export async function runProgram(on: string | Program, run: () => Promise<void>): Promise<void> {
  const program = typeof on === 'string' ? on : on.program;
  const json = process.argv.includes('--json');
  const [word, ...more] = process.argv.slice(2);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', onLostReader);
  if (word === '--version' && more.length === 0) {
    process.stdout.write(`${PRODUCT_VERSION}\n`);
    return;
  }
  try {
    if (typeof on !== 'string') assertKnownCommand(process.argv.slice(2), on);
    await run();
  } catch (thrown) {
    process.exitCode = printFailure(program, thrown, json);
  }
}

/**
 * A reader that has seen enough, such as `head`, is no failure. What was begun ends as it would
 * have ended; only the writing stops.
 */
function onLostReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

/** @throws DroverError USAGE */
function assertKnownCommand(words: readonly string[], on: Program): void {
  const [first, second] = words.filter((word) => word !== '--json' && word !== '--debug');
  if (first === undefined || first.startsWith('-')) return;
  if (!on.commands.includes(first)) {
    throw unknownCommand(first, on.commands, on.runsWithout ? ', or none' : '');
  }
  const group = on.groups && Object.hasOwn(on.groups, first) ? on.groups[first] : undefined;
  if (!group || second === undefined || second.startsWith('-') || group.includes(second)) return;
  throw unknownCommand(`${first} ${second}`, group, '');
}

function unknownCommand(got: string, known: readonly string[], orNone: string): DroverError {
  const hint = `give one of ${known.join(', ')}${orNone}; --help says what each does`;
  return new DroverError('USAGE', `unknown command: ${got.slice(0, 80)}`, { hint });
}

/** @throws DroverError FILE_UNREADABLE */
export function readInput(path: string, what: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read ${what}: ${why}`, { cause });
  }
}

/**
 * Version of the three programs: that of the package, which a test compares with this one.
 */
export const PRODUCT_VERSION = '0.1.0';
