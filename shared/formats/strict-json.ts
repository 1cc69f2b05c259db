/**
 * A JSON parser (RFC 8259) for untrusted bytes. JSON.parse keeps the last of two equal keys, so a
 * signer and a verifier in another language could read two documents in the same signed bytes; it
 * also accepts `__proto__`, half surrogate pairs and any depth. This parser refuses all of them and
 * names the place. Text must be UTF-8 without a byte order mark. Its time is linear in the bytes.
 * Sans-I/O.
 */

import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';

export type JsonValue =
  null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LITERALS: readonly (readonly [string, JsonValue])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BLANK = 0x20;
const LONE_SURROGATE = /\p{Surrogate}/u;

class Parser {
  readonly #text: string;
  readonly #what: string;
  /** Keys and positions from the document down to the value being read: joined only for a message. */
  readonly #path: (string | number)[] = [];
  #at = 0;

  constructor(text: string, what: string) {
    this.#text = text;
    this.#what = what;
  }

  document(): JsonValue {
    const value = this.#value();
    this.#space();
    if (this.#at < this.#text.length) throw this.#error('more text after the document');
    return value;
  }

  #error(why: string): DroverError {
    const steps = this.#path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`));
    const field = steps.join('').replace(/^\./, '');
    const where = field === '' ? `at character ${this.#at}` : `in field ${printable(field)}`;
    return new DroverError('JSON_INVALID', `parse ${this.#what}: ${why} ${where}`);
  }

  #space(): void {
    for (; ; this.#at += 1) {
      const char = this.#text.charCodeAt(this.#at);
      if (char === BLANK || char === LINE_FEED || char === CARRIAGE_RETURN || char === TAB)
        continue;
      return;
    }
  }

  #value(): JsonValue {
    if (this.#path.length > LIMITS.jsonDepthMax) throw this.#error('nested too deeply');
    this.#space();
    const char = this.#text[this.#at];
    if (char === '{') return this.#object();
    if (char === '[') return this.#array();
    if (char === '"') return this.#string();
    for (const [word, value] of LITERALS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (!match) throw this.#error('not a JSON value');
    this.#at += match[0].length;
    const value = Number(match[0]);
    if (!Number.isFinite(value)) throw this.#error('number out of range');
    return value;
  }

  #string(): string {
    // The raw extent is found by hand; JSON.parse then decodes the escapes of that one string.
    const start = this.#at;
    for (this.#at += 1; this.#at < this.#text.length; this.#at += 1) {
      const char = this.#text[this.#at];
      if (char === '\\') this.#at += 1;
      else if (char === '"') {
        this.#at += 1;
        return this.#decoded(this.#text.slice(start, this.#at));
      }
    }
    throw this.#error('string without an end');
  }

  #decoded(raw: string): string {
    let text: string;
    try {
      text = JSON.parse(raw) as string;
    } catch {
      throw this.#error('bad string');
    }
    // Half of a pair can only come from an escape; each language makes something else of it.
    if (LONE_SURROGATE.test(text)) throw this.#error('half of a surrogate pair');
    return text;
  }

  #array(): JsonValue[] {
    const items: JsonValue[] = [];
    this.#at += 1;
    this.#space();
    if (this.#take(']')) return items;
    const step = this.#path.push(0) - 1;
    for (;;) {
      items.push(this.#value());
      this.#space();
      if (this.#take(']')) break;
      if (!this.#take(',')) throw this.#error('want , or ] after the value');
      this.#path[step] = items.length;
    }
    this.#path.pop();
    return items;
  }

  #object(): { [key: string]: JsonValue } {
    const fields: { [key: string]: JsonValue } = {};
    this.#at += 1;
    this.#space();
    if (this.#take('}')) return fields;
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') throw this.#error('want a key in quotes');
      const key = this.#string();
      this.#path.push(key);
      if (FORBIDDEN_KEYS.has(key)) throw this.#error('forbidden key');
      if (Object.hasOwn(fields, key)) throw this.#error('duplicate key');
      this.#space();
      if (!this.#take(':')) throw this.#error('want : after the key');
      fields[key] = this.#value();
      this.#space();
      const isLast = this.#take('}');
      if (!isLast && !this.#take(',')) throw this.#error('want , or } after the value');
      this.#path.pop();
      if (isLast) return fields;
    }
  }

  #take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at += 1;
    return true;
  }
}

/**
 * [P-1.1] [P-1.3]
 * @param what name of the document in messages, for example `manifest.json`
 * @throws DroverError DOCUMENT_TOO_LARGE, JSON_INVALID
 */
export function parseStrictJson(bytes: Uint8Array, what: string, bytesMax: number): JsonValue {
  if (bytes.byteLength > bytesMax) {
    throw new DroverError(
      'DOCUMENT_TOO_LARGE',
      `parse ${what}: too large (got ${bytes.byteLength} bytes, want at most ${bytesMax})`,
    );
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new DroverError('JSON_INVALID', `parse ${what}: not UTF-8`, { cause });
  }
  return new Parser(text, what).document();
}
