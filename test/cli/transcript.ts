/**
 * A transcript is a page of a terminal: `$ command`, what it printed, and `[exit N]` where that is
 * not 0. Values that differ from run to run (keys, instants, folders, durations) is written as a
 * word in «», so that two runs of one program give the same page. Sans-I/O.
 */

export interface Step {
  /** One line of shell. */
  readonly command: string;
  /** As the page has it. */
  readonly said: string;
}

/** Lines from the start of a page: they say what it shows. */
const COMMENT = /^#/;
const COMMAND = /^\$ /;

export function parseTranscript(text: string): { head: string; steps: Step[] } {
  const lines = text.split('\n');
  const begin = lines.findIndex((line) => COMMAND.test(line));
  const head = lines.slice(0, begin < 0 ? lines.length : begin);
  const odd = head.find((line) => line !== '' && !COMMENT.test(line));
  if (odd !== undefined) throw new Error(`transcript: no comment before the first command: ${odd}`);
  const steps: { command: string; said: string[] }[] = [];
  for (const line of begin < 0 ? [] : lines.slice(begin)) {
    if (COMMAND.test(line)) steps.push({ command: line.slice(2), said: [] });
    else steps.at(-1)?.said.push(line);
  }
  return {
    head: head.join('\n').trimEnd(),
    steps: steps.map(({ command, said }) => ({ command, said: said.join('\n').trimEnd() })),
  };
}

export function writeTranscript(head: string, steps: readonly Step[]): string {
  const pages = steps.map(({ command, said }) => `$ ${command}\n${said === '' ? '' : `${said}\n`}`);
  return `${head}\n\n${pages.join('\n')}`;
}

/** The output of one step, as a page has it. @param folder where it ran */
export function asWritten(
  output: string,
  { code, folder }: { readonly code: number | null; readonly folder: string },
): string {
  const text = steady(output, folder).trimEnd();
  if (code === 0) return text;
  return `${text}${text === '' ? '' : '\n'}[exit ${code ?? 'by a signal'}]`;
}

/** The longest first: a hash holds what looks like an id. */
const CHANGING: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{64}\b/g, '«64 hex digits»'],
  [/\b[0-9a-f]{16}\b/g, '«16 hex digits»'],
  [/\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{12}\b/g, '«12 hex digits»'],
  [/(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])/g, '«token»'],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, '«instant»'],
  [/\b\d{10}\b/g, '«seconds»'],
  [/\b\d+\.\d [KMGT]iB are free\b/g, '«size» are free'],
  [/\bon Node\.js \d+\.\d+\.\d+/g, 'on Node.js «version»'],
  [/\bin \d+ s\b/g, 'in «n» s'],
  [/"pid":\d+/g, '"pid":«n»'],
  [/\bprocess \d+\b/g, 'process «n»'],
];

function steady(text: string, folder: string): string {
  const named = text.replaceAll(folder, '«folder»');
  return CHANGING.reduce((so, [pattern, word]) => so.replace(pattern, word), named);
}
