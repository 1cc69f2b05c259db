/**
 * Takes secrets and terminal escapes out of logs and out of texts about failures before they leave
 * the robot, and again where others read such a text: an older agent left them in. It removes more
 * than is needed: a reader can miss a word, and a password that got out cannot be taken back. Lines
 * of an environment, of passwords and tokens lose their value, URLs lose their credentials, and
 * private keys in PEM form go as a whole. Sans-I/O.
 */

import { CATALOGUE } from './error-catalogue.ts';
import { LIMITS } from './limits.ts';
import { TERMINAL_CONTROL } from './printable.ts';

export const REDACTED = '[redacted]';

/** CSI, OSC and two-character sequences of a terminal (ECMA-48). */
const ESCAPES =
  // oxlint-disable-next-line no-control-regex
  /\u001b(?:\[[0-?]*[ -/]*[@-~]?|\][^\u0007\u001b\n]*(?:\u0007|\u001b\\)?|[ -/]*[0-~]?)/gu;

const PEM_BEGIN = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----/;
const PEM_END = /-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----/;
/** The body of a PEM block, as a log shows it: base64 at the end of a line. */
const PEM_BODY = /(?:^|\s)[A-Za-z0-9+/=]{16,}$/;
/** The last line of a body may be short. */
const PEM_LAST = /(?:^|\s)[A-Za-z0-9+/]{1,64}={0,2}$/;
/** A line of base64 alone: two of them in a row are a body without its begin and end. */
const BASE64_LINE =
  /^\s*(?=[^\n]*[a-z])(?=[^\n]*[A-Z])(?=[^\n]*[0-9+/])[A-Za-z0-9+/]{40,}={0,2}\s*$/;

const SECRET_WORD =
  '(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|api[_-]?key|private[_-]?key|access[_-]?key|client[_-]?key|authorization|auth|cookie|psk)';

/** Words that are secrets where a value follows, and ordinary words elsewhere. */
const SHORT_NAME = '(?:jwt|otp|sig|signature|sas|apikey)';

/** A word that looks made by chance: with a digit, or very long. */
const CHANCE = '(?=\\S*\\d|\\S{20,})[^\\s"\'<>]{6,}';

type Rule = readonly [pattern: RegExp, replacement: string];

/** A value that is gone already, so that the words behind it stay. */
const NOT_YET = '(?!\\s{0,9}"?\\[redacted\\])';

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
  // user:password@host with a slash in the password; a port is no password
  [
    /([a-z][a-z0-9+.-]{0,30}:\/\/[^\s:@/"'<>]{0,200}:)(?!\d{1,5}\/)(?!\[redacted\])[^\s"'<>@]{1,512}@/giu,
    `$1${REDACTED}@`,
  ],
  // <password>value</password>
  [
    new RegExp(
      `(<[\\w:.-]{0,60}${SECRET_WORD}[\\w:.-]{0,60}(?:\\s[^<>]{0,200})?>)${NOT_YET}[^<]+`,
      'giu',
    ),
    `$1${REDACTED}`,
  ],
  // columns: `password|value`, `PASSWORD<TAB>value`, `[password] value`
  [
    new RegExp(
      `((?<![A-Za-z])[\\w.-]{0,60}${SECRET_WORD}["']?(?:\\s{0,9}\\||\\t)\\s{0,9})${NOT_YET}\\S.*$`,
      'iu',
    ),
    `$1${REDACTED}`,
  ],
  [
    new RegExp(
      `(\\[[\\w.-]{0,60}${SECRET_WORD}[\\w.-]{0,60}\\]\\s{1,9})${NOT_YET}\\S{1,512}$`,
      'iu',
    ),
    `$1${REDACTED}`,
  ],
  // `password is value`, and netrc
  [
    new RegExp(
      `(\\bpass(?:word|wd|phrase|code)\\s+(?:is|was)\\s+)(?!(?:not|too|set|wrong|invalid|incorrect|required|missing|empty|expired)\\b)${NOT_YET}\\S{1,512}`,
      'giu',
    ),
    `$1${REDACTED}`,
  ],
  [
    new RegExp(`(\\b(?:login|user)\\s+\\S{1,200}\\s+password\\s+)${NOT_YET}\\S{1,512}`, 'giu'),
    `$1${REDACTED}`,
  ],
  // options of programs that take a password behind one letter
  [
    new RegExp(
      `(\\b(?:curl|wget)\\b.*?\\s(?:-u|--user|-U|--proxy-user)[\\s=]{0,9}["']?[^\\s:"']{1,200}:)${NOT_YET}\\S{1,512}`,
      'iu',
    ),
    `$1${REDACTED}`,
  ],
  [
    new RegExp(`(\\b(?:mysql|mariadb)[\\w-]{0,20}\\b.*?\\s-p)(?=\\S)${NOT_YET}\\S{1,512}`, 'iu'),
    `$1${REDACTED}`,
  ],
  [new RegExp(`(\\bsshpass\\b.*?\\s-p\\s{0,9})${NOT_YET}\\S{1,512}`, 'iu'), `$1${REDACTED}`],
  // `jwt=value`, `?sig=value`, and `key=` or `pin=` before what is no word and no pin of a board
  [new RegExp(`((?<![\\w.])${SHORT_NAME}=["']?)${NOT_YET}[^\\s"'&<>]{3,}`, 'giu'), `$1${REDACTED}`],
  [new RegExp(`((?<![\\w.-])key=["']?)${NOT_YET}${CHANCE}`, 'giu'), `$1${REDACTED}`],
  [
    new RegExp(
      `((?<![\\w.-])pin\\s{0,3}[:=]\\s{0,3}["']?)${NOT_YET}(?=\\S*\\d)[^\\s"'&<>]{4,}`,
      'giu',
    ),
    `$1${REDACTED}`,
  ],
  // `Token value`, `api_key value`, `password value`: only before what looks made by chance
  [
    new RegExp(
      `(\\b(?:token|jwt|apikey|community|pass(?:word|wd|phrase|code)|(?:api|access|private|client|auth)[_-](?:key|token|secret))\\s{1,9})${NOT_YET}${CHANCE}`,
      'giu',
    ),
    `$1${REDACTED}`,
  ],
  // a claim of Drover's own enrolment
  [/\bclaim_[A-Za-z0-9_-]{10,}/gu, REDACTED],
  [/\b(bearer|basic|digest|negotiate)\s+[A-Za-z0-9+/=_.~-]{6,}/giu, `$1 ${REDACTED}`],
  // a JSON Web Token, and keys that show their maker
  [/\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*/gu, REDACTED],
  [/\b(?:AKIA[0-9A-Z]{12,}|gh[a-z]_[A-Za-z0-9]{20,}|xox[a-z]-[\w-]{10,})/gu, REDACTED],
];

/** Text without escapes and control characters, line feeds and tabs excepted. */
export const plainText = (text: string): string =>
  text.replace(/\r\n?/g, '\n').replace(ESCAPES, '').replace(TERMINAL_CONTROL, '');

/**
 * Plain text without secrets. A key of which only a part is there goes as well: only the end of an
 * output may have been kept.
 */
export function redact(text: string): string {
  const lines: string[] = [];
  let isKey = false;
  let before: string | null = null;
  for (const raw of plainText(text).split('\n')) {
    const [begins, ends] = [PEM_BEGIN.test(raw), PEM_END.test(raw)];
    if (ends && !isKey && !begins) dropBody(lines);
    if (begins || ends) lines.push(REDACTED);
    else if (!isKey) lines.push(follows(lines, raw, before) ? REDACTED : redactLine(cut(raw)));
    isKey = (isKey || begins) && !ends;
    before = raw;
  }
  return lines.join('\n');
}

const cut = (line: string): string =>
  line.length > LIMITS.logLineCharsMax ? line.slice(0, LIMITS.logLineCharsMax) : line;

/** A name that means a secret, at the end of a line: its value stands in the next one. */
const VALUE_FOLLOWS = new RegExp(
  `(?<![A-Za-z])[\\w.-]{0,60}${SECRET_WORD}[\\w.-]{0,60}["']?\\s{0,9}(?:=>|[:=])\\s{0,9}[|>]?-?\\s{0,9}$`,
  'iu',
);
/** One word, or words in quotes: a sentence behind `password:` is no password. */
const ONE_VALUE = /^\s*(?:["'].*|\S+)\s*$/u;

/** True for a line that goes on with a secret of the line before it. */
function follows(lines: string[], raw: string, before: string | null): boolean {
  if (before === null || raw.trim() === '') return false;
  const last = lines.at(-1) ?? '';
  if (BASE64_LINE.test(raw) && BASE64_LINE.test(before)) {
    lines[lines.length - 1] = REDACTED;
    return true;
  }
  // `password=…\\` goes on, and what went on before may go on further.
  if (before.trimEnd().endsWith('\\') && last.includes(REDACTED)) return true;
  return VALUE_FOLLOWS.test(cut(before)) && ONE_VALUE.test(raw);
}

/** Stands for one line whose begin was not kept: its name may have meant a secret. */
export const PARTIAL_LINE = '[the begin of this line was not kept]';

/**
 * As `redact`, of a text whose begin was cut off. The rest of a cut line goes, and lines that may
 * be the rest of a key.
 */
export function redactTail(text: string): string {
  const [, ...lines] = plainText(text).split('\n');
  const first = lines.findIndex((line) => !PEM_BODY.test(line) && !PEM_LAST.test(line));
  const isKey = lines.length > 0 && PEM_BODY.test(lines[0] ?? '');
  const rest = isKey ? lines.slice(first < 0 ? lines.length : first) : lines;
  const kept = redact(rest.join('\n'));
  return kept.trim() === '' ? PARTIAL_LINE : kept;
}

/** Text about a failure, as robots send it and readers show it: without secrets, and bounded. */
export const failureText = (text: string): string => redact(text).slice(0, LIMITS.failureTextChars);

const OWN_HINTS: ReadonlySet<string> = new Set(Object.values(CATALOGUE).map(({ hint }) => hint));

/** The same of a hint: those of the catalogue name options for secrets, and hold none. */
export const failureHint = (text: string): string =>
  OWN_HINTS.has(text) ? text : failureText(text);

/** The lines before an END whose BEGIN was cut off. Some of them may be redacted already. */
function dropBody(lines: string[]): void {
  const isBody = (line: string | undefined): boolean =>
    line !== undefined && (line === REDACTED || PEM_BODY.test(line));
  if (PEM_LAST.test(lines.at(-1) ?? '') && isBody(lines.at(-2))) lines.pop();
  while (isBody(lines.at(-1))) lines.pop();
}

function redactLine(line: string): string {
  let text = line;
  for (const [pattern, replacement] of RULES) text = text.replace(pattern, replacement);
  return text;
}
