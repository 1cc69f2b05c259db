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
  return cut.replace(UNPRINTABLE, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);
}

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
