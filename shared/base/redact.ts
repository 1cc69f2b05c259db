/**
 * Takes secrets and terminal escapes out of logs and out of texts about failures before they leave
 * the robot, and again where others read such a text: an older agent left them in. It removes more than
 * is needed: a reader can miss a word, and a password that got out cannot be taken back. Lines of
 * an environment, of passwords and tokens lose their value, URLs lose their credentials, and
 * private keys in PEM form go as a whole. Sans-I/O.
 */

import { CATALOGUE } from './error-catalogue.ts';
import { LIMITS } from './limits.ts';

export const REDACTED = '[redacted]';

/** CSI, OSC and two-character sequences of a terminal (ECMA-48). */
const ESCAPES =
  // oxlint-disable-next-line no-control-regex
  /\u001b(?:\[[0-?]*[ -/]*[@-~]?|\][^\u0007\u001b\n]*(?:\u0007|\u001b\\)?|[ -/]*[0-~]?)/gu;
/** Everything else that prints nothing, or turns the reading order; line feed and tab stay. */
const UNPRINTABLE = /[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

const PEM_BEGIN = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----/;
const PEM_END = /-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----/;
/** The body of a PEM block, as a log shows it: base64 at the end of a line. */
const PEM_BODY = /(?:^|\s)[A-Za-z0-9+/=]{16,}$/;

const SECRET_WORD =
  '(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|api[_-]?key|private[_-]?key|access[_-]?key|client[_-]?key|authorization|auth|cookie|psk)';

type Rule = readonly [pattern: RegExp, replacement: string];

/** A value that is gone already, so that the words behind it stay. */
const NOT_YET = '(?!"?\\[redacted\\])';

/** In this order; each leaves its own output as it is. */
const RULES: readonly Rule[] = [
  // user:password@host, of any scheme
  [/([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@"'<>]{1,512}@/giu, `$1${REDACTED}@`],
  // `FOO_BAR=value` at the begin of a line, or behind the prefix of a log
  [
    new RegExp(
      `((?:^|[\\]:>]\\s*|\\s)(?:export\\s+|declare\\s+-x\\s+)?[A-Z_][A-Z0-9_]{1,80}=)${NOT_YET}.+$`,
      'u',
    ),
    `$1${REDACTED}`,
  ],
  // "token": "value" in JSON keeps what follows
  [
    new RegExp(
      `("[\\w.-]{0,60}${SECRET_WORD}[\\w.-]{0,60}"\\s{0,9}:\\s{0,9})"(?:[^"\\\\]|\\\\.)*"?`,
      'giu',
    ),
    `$1"${REDACTED}"`,
  ],
  // token=value and token: value, with or without quotes around the name
  [
    new RegExp(
      `((?<![A-Za-z])[\\w.-]{0,60}${SECRET_WORD}[\\w.-]{0,60}["']?\\s{0,9}(?:=>|[:=])\\s{0,9})${NOT_YET}.+$`,
      'iu',
    ),
    `$1${REDACTED}`,
  ],
  // `Password for admin: value`
  [
    new RegExp(`(\\bpass(?:word|phrase|code)\\b[^:=\\n]{0,40}[:=]\\s{0,9})${NOT_YET}.+$`, 'iu'),
    `$1${REDACTED}`,
  ],
  // --password value
  [
    new RegExp(`(--?[\\w-]{0,40}${SECRET_WORD}[\\w-]{0,40}\\s{1,9})${NOT_YET}.+$`, 'iu'),
    `$1${REDACTED}`,
  ],
  [/\b(bearer|basic|digest|negotiate)\s+[A-Za-z0-9+/=_.~-]{6,}/giu, `$1 ${REDACTED}`],
  // a JSON Web Token, and keys that show their maker
  [/\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*/gu, REDACTED],
  [/\b(?:AKIA[0-9A-Z]{12,}|gh[a-z]_[A-Za-z0-9]{20,}|xox[a-z]-[\w-]{10,})/gu, REDACTED],
];

/** Text without escapes and control characters, line feeds and tabs excepted. */
export const plainText = (text: string): string =>
  text.replace(/\r\n?/g, '\n').replace(ESCAPES, '').replace(UNPRINTABLE, '');

/**
 * Plain text without secrets. A key of which only a part is there goes as well: only the end of an
 * output may have been kept.
 */
export function redact(text: string): string {
  const lines: string[] = [];
  let isKey = false;
  for (const raw of plainText(text).split('\n')) {
    const line = raw.length > LIMITS.logLineCharsMax ? raw.slice(0, LIMITS.logLineCharsMax) : raw;
    const [begins, ends] = [PEM_BEGIN.test(raw), PEM_END.test(raw)];
    if (ends && !isKey && !begins) dropBody(lines);
    if (begins || ends) lines.push(REDACTED);
    else if (!isKey) lines.push(redactLine(line));
    isKey = (isKey || begins) && !ends;
  }
  return lines.join('\n');
}

/** Text about a failure as it is told and as it is read: without secrets, of a bounded length. */
export const failureText = (text: string): string => redact(text).slice(0, LIMITS.failureTextChars);

const OWN_HINTS: ReadonlySet<string> = new Set(Object.values(CATALOGUE).map(({ hint }) => hint));

/** The same of a hint: those of the catalogue name options for secrets, and hold none. */
export const failureHint = (text: string): string =>
  OWN_HINTS.has(text) ? text : failureText(text);

/** The lines before an END whose BEGIN was cut off. */
function dropBody(lines: string[]): void {
  while (lines.length > 0 && PEM_BODY.test(lines.at(-1) ?? '')) lines.pop();
}

function redactLine(line: string): string {
  let text = line;
  for (const [pattern, replacement] of RULES) text = text.replace(pattern, replacement);
  return text;
}
