/**
 * Words of strangers inside our messages, and paths inside commands that they show. A file name or
 * a JSON key may hold a terminal's escape sequence or megabytes; a message shows that it was there
 * and carries neither. Also a number with its noun.
 * Sans-I/O.
 */

/** Longest foreign text that a message quotes. */
const QUOTED_CHARS_MAX = 120;
// Control characters, line and paragraph separators, and the marks that reverse reading order.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** At most `charsMax` characters, each unprintable one shown as `\u{hex}`. */
export function printable(text: string, charsMax: number = QUOTED_CHARS_MAX): string {
  const cut = text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
  return cut.replace(UNPRINTABLE, escaped);
}

const escaped = (char: string): string => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;

/** The same but for line feed and tab. */
export const TERMINAL_CONTROL = /[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** Characters that JSON leaves as they are: DEL, C1, and marks that turn the reading order. */
const RAW_IN_JSON = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * A text of any length for a terminal: line feeds and tabs stay, and nothing in it steers the
 * terminal. Every line that a program writes passes here (shared/io/cli.ts).
 */
export const shown = (text: string): string => text.replace(TERMINAL_CONTROL, escaped);

/** JSON text in which the same characters are escaped; it means the same. */
export const shownJson = (json: string): string =>
  json.replace(RAW_IN_JSON, (char) =>
    Array.from({ length: char.length }, (_, at) => {
      return `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`;
    }).join(''),
  );

/** Words of several lines as one line: ` / ` stands where a line ended. */
export const foldLines = (text: string): string => text.trim().replaceAll(/\s*[\r\n]\s*/g, ' / ');

/** The same, printable. */
export const oneLine = (text: string, charsMax?: number): string =>
  printable(foldLines(text), charsMax);

/** Quotes one word of a command for a shell. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * A number with its noun: `1 file`, `2 files`, `1 entry`.
 * @param plural where it is not the noun with an `s`
 */
export const countOf = (count: number, noun: string, plural = `${noun}s`): string =>
  `${count} ${count === 1 ? noun : plural}`;
