/**
 * The lines of one update: the agent's own and those that hooks and modules printed. Bounded, plain
 * and without secrets from the start, since they are written to the disk as well. Sans-I/O.
 */

import { LIMITS } from '../../shared/base/limits.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { redact } from '../../shared/base/redact.ts';

/** The first line once older ones are gone. */
const CUT_MARK = '[lines before this one left out: an update keeps its last ones]\n';

export class LogLines {
  #text: string;
  #isCut: boolean;
  readonly #charsMax: number;
  /** A health hook says the same a hundred times: it is there once, with a count. */
  #last = { output: '', again: 0 };

  constructor(text = '', charsMax: number = LIMITS.failureLogSpoolBytes) {
    this.#charsMax = charsMax;
    this.#text = '';
    this.#isCut = text.startsWith(CUT_MARK); // an agent before this one had to cut
    this.#append(this.#isCut ? text.slice(CUT_MARK.length) : text);
  }

  /** The last lines, each whole. */
  get text(): string {
    return `${this.#isCut ? CUT_MARK : ''}${this.#text}${this.#repeated()}`;
  }

  #repeated(): string {
    const { again } = this.#last;
    return again === 0 ? '' : `    and the same ${again} more times\n`;
  }

  /** @param facts of the line; what JSON cannot show is left out */
  say(level: string, facts: object, message: string, now: EpochMs): void {
    this.#append(redact(`${stamp(now)} ${level} ${message} ${inJson(facts)}`.trimEnd()));
  }

  /** Output of a hook or a module, under the name of the run. */
  output(label: string, text: string, now: EpochMs): void {
    const said = redact(text).trimEnd();
    const output = `${label} printed ${said === '' ? 'nothing' : `\n${indented(said)}`}`;
    if (output === this.#last.output) return void (this.#last.again += 1);
    this.#append(`${stamp(now)} ${output}`);
    this.#last = { output, again: 0 };
  }

  #append(lines: string): void {
    if (lines === '') return;
    const text = `${this.#text}${this.#repeated()}${lines}\n`;
    this.#last = { output: '', again: 0 };
    this.#isCut ||= text.length > this.#charsMax;
    this.#text = lastLines(text, this.#charsMax - (this.#isCut ? CUT_MARK.length : 0));
  }
}

const stamp = (now: EpochMs): string => new Date(now).toISOString();

const indented = (text: string): string =>
  text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');

/** As many whole lines from the end as fit. */
export function lastLines(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  const end = text.slice(-charsMax);
  const line = end.indexOf('\n');
  return line < 0 || line === end.length - 1 ? end : end.slice(line + 1);
}

function inJson(facts: object): string {
  try {
    const text = JSON.stringify(facts);
    return text === '{}' || text === undefined ? '' : text;
  } catch {
    return ''; // a circle: the message stands without it
  }
}
