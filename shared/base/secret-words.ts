/**
 * Keeps secrets out of messages. `--key "$(cat …)"` puts a secret where a path is wanted, a mistake
 * that is easily made, and a message that repeats the word puts it into logs of build servers. So a
 * message says what the word looks like and where it belongs, and never shows it. Sans-I/O.
 */

import type { Facts, Problem } from './errors.ts';

interface Kind {
  readonly looksLike: RegExp;
  readonly name: string;
  readonly hint: string;
}

const KINDS: readonly Kind[] = [
  {
    looksLike: /AGE-SECRET-KEY-/i,
    name: 'an age identity, which is secret',
    hint: 'export --to wants the age1… line of the .agepub file; import --identity wants the path of the .agekey file',
  },
  {
    looksLike: /-----BEGIN/,
    name: 'the text of a PEM file',
    hint: 'give the path of a file; drover keygen --from-pem FILE makes a key for --key of a PEM file',
  },
  {
    looksLike: /^[\da-f]{64}$/i,
    name: 'a key of 64 hex digits',
    hint: 'give the path of a file: --key wants the .key of drover keygen; a key in hex goes into DROVER_KEY',
  },
  {
    looksLike: /^(?=.*[A-Z])(?=.*[a-z])(?=.*\d)(?:[A-Za-z\d+/]{43,}|[\w-]{43,})={0,2}$/,
    name: 'a secret in base64',
    hint: 'give the path of the file that holds it, never the text itself',
  },
];

/** Fewer characters of a secret do not help to guess it. */
const PIECE_CHARS_MIN = 8;

const kindOf = (word: string): Kind | null =>
  KINDS.find(({ looksLike }) => looksLike.test(word.trim())) ?? null;

/** `--key=SECRET` is one word of a command line. */
const valuesIn = (word: string): string[] => {
  const value = /^--?[\w-]+=([^]*)$/.exec(word)?.[1];
  return value === undefined ? [word] : [value];
};

/**
 * A failure that is safe to show, given the words of the command line.
 * @param hash a public hash that the failure is about; it looks like a key and is shown
 * @returns the same problem when it contains no secret
 */
export function withoutSecrets(
  problem: Problem,
  words: readonly string[],
  hash: Facts[string] = null,
): Problem {
  let { message, hint } = problem;
  for (const word of words.flatMap(valuesIn)) {
    const kind = word === hash ? null : kindOf(word);
    if (kind === null) continue;
    const instead = `(what looks like ${kind.name})`;
    const shown = { message: hidden(message, word, instead), hint: hidden(hint, word, instead) };
    if (shown.message === message && shown.hint === hint) continue;
    message = shown.message;
    hint = `${kind.hint}; if others can read this command line, make a new secret`;
  }
  return { ...problem, message, hint };
}

/** A message may have shortened the word, or written its line ends in another way. */
function hidden(text: string, word: string, instead: string): string {
  let left = text;
  const pieces = [word, ...word.split(/\s+/)].filter((one) => one.length >= PIECE_CHARS_MIN);
  for (const piece of pieces) {
    const at = left.indexOf(piece.slice(0, PIECE_CHARS_MIN));
    if (at < 0) continue;
    let end = PIECE_CHARS_MIN;
    while (end < piece.length && left[at + end] === piece[end]) end += 1;
    left = left.replaceAll(piece.slice(0, end), instead);
  }
  return left;
}
