/**
 * A JSON parser (RFC 8259) for bytes that nobody has vouched for. JSON.parse keeps the last of two
 * equal keys, so a signer and a verifier in another language could read two documents in the same
 * signed bytes; it also takes `__proto__` and any depth. This one refuses all three and names the
 * place. Text must be UTF-8 without a byte order mark.
 */

import { DroverError } from './errors.ts';
import { LIMITS } from './limits.ts';

export type JsonValue =
  null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LITERALS: readonly (readonly [string, JsonValue])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

class Parser {
  readonly #text: string;
  readonly #what: string;
  #at = 0;

  constructor(text: string, what: string) {
    this.#text = text;
    this.#what = what;
  }

  document(): JsonValue {
    const value = this.#value('', 0);
    this.#space();
    if (this.#at < this.#text.length) throw this.#error('more text after the document');
    return value;
  }

  #error(why: string, path = ''): DroverError {
    const where = path === '' ? `at character ${this.#at}` : `in field ${path}`;
    return new DroverError('JSON_INVALID', `parse ${this.#what}: ${why} ${where}`);
  }

  #space(): void {
    while (/[ \t\n\r]/.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #value(path: string, depth: number): JsonValue {
    if (depth > LIMITS.jsonDepthMax) throw this.#error('nested too deeply', path);
    this.#space();
    const char = this.#text[this.#at];
    if (char === '{') return this.#object(path, depth);
    if (char === '[') return this.#array(path, depth);
    if (char === '"') return this.#string();
    for (const [word, value] of LITERALS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number(path);
  }

  #number(path: string): number {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (!match) throw this.#error('not a JSON value', path);
    this.#at += match[0].length;
    const value = Number(match[0]);
    if (!Number.isFinite(value)) throw this.#error('number out of range', path);
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
        try {
          return JSON.parse(this.#text.slice(start, this.#at)) as string;
        } catch {
          throw this.#error('bad string');
        }
      }
    }
    throw this.#error('string without an end');
  }

  #array(path: string, depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.#at += 1;
    this.#space();
    if (this.#take(']')) return items;
    for (;;) {
      items.push(this.#value(`${path}[${items.length}]`, depth + 1));
      this.#space();
      if (this.#take(']')) return items;
      if (!this.#take(',')) throw this.#error('want , or ]', path);
    }
  }

  #object(path: string, depth: number): { [key: string]: JsonValue } {
    const fields: { [key: string]: JsonValue } = {};
    this.#at += 1;
    this.#space();
    if (this.#take('}')) return fields;
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') throw this.#error('want a key in quotes', path);
      const key = this.#string();
      const field = path === '' ? key : `${path}.${key}`;
      if (FORBIDDEN_KEYS.has(key)) throw this.#error('forbidden key', field);
      if (Object.hasOwn(fields, key)) throw this.#error('duplicate key', field);
      this.#space();
      if (!this.#take(':')) throw this.#error('want : after a key', field);
      fields[key] = this.#value(field, depth + 1);
      this.#space();
      if (this.#take('}')) return fields;
      if (!this.#take(',')) throw this.#error('want , or }', path);
    }
  }

  #take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at += 1;
    return true;
  }
}

/**
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
