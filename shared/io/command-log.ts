/**
 * The log of a command that a person types: warnings are sentences on stderr, between the lines of
 * its answer. With --json, or with `DROVER_LOG`, they are JSON lines like those of the daemons.
 */

import { printable } from '../base/printable.ts';
import type { Log } from '../base/ports.ts';
import { makeLog, writeNote } from './cli.ts';

/** Longest text of one warning; whole hints fit. */
const WARNING_CHARS_MAX = 1_000;

export function makeCommandLog(program: string): Log {
  const level = process.env['DROVER_LOG'];
  if (level !== undefined || process.argv.includes('--json'))
    return makeLog(program, level ?? 'warn');
  const say = (facts: object, text: string): void => {
    for (const line of warningLines(facts, text)) {
      writeNote(`${program}: ${line}`);
    }
  };
  const nothing = (): void => undefined;
  return { debug: nothing, info: nothing, warn: say, error: say };
}

/** The event, its reason, and the other facts; a second line has the hint. */
export function warningLines(facts: object, text: string): string[] {
  const { problem, reason, error, code, hint, ...rest } = facts as Record<string, unknown>;
  const told = typeof problem === 'object' && problem !== null ? problem : { message: problem };
  const { message, code: itsCode, hint: itsHint } = told as Record<string, unknown>;
  const why = [message, reason, error].filter((one) => one !== undefined).map(wordsOf);
  const others = Object.entries(rest).map(([name, value]) => `${name} ${wordsOf(value)}`);
  const codes = [itsCode, code].filter((one) => typeof one === 'string').map((one) => ` (${one})`);
  const first = [text, ...why].join(': ') + (others.length > 0 ? `; ${others.join('; ')}` : '');
  const advice = itsHint ?? hint;
  return [
    `warning: ${printable(first, WARNING_CHARS_MAX)}${codes[0] ?? ''}`,
    ...(typeof advice === 'string' ? [`hint: ${printable(advice, WARNING_CHARS_MAX)}`] : []),
  ];
}

/** The text of an error without the name of its class. */
function wordsOf(value: unknown): string {
  if (typeof value === 'string') return value.replace(/^[A-Za-z]*Error: /, '');
  if (Array.isArray(value)) return value.map(wordsOf).join(', ');
  return JSON.stringify(value);
}
