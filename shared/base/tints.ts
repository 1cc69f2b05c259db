/**
 * Chooses the words of an answer that get a colour: red for what failed or is stuck, yellow for
 * what waits, green for what is done. Each colour repeats what a word says, so that nothing is lost
 * without it. A painter works on lines as they are printed, after they were made printable.
 * Sans-I/O.
 */

export type Tint = 'red' | 'yellow' | 'green';
/** Puts a colour around a text. */
export type Tinted = (text: string, tint: Tint) => string;
/** Adds colours to the lines of an answer, and nothing else. */
export type Painter = (lines: readonly string[], tinted: Tinted) => string[];
type TintOf = (text: string) => Tint | null;

const STATES: readonly (readonly [Tint, RegExp])[] = [
  ['red', /^(?:failed|fail|stuck|halted|halt|vanished|went_back|rolled back|no effect)\b/],
  ['yellow', /^(?:waiting|warn|paused|hold|rolling back|rolling_back|reverting|superseded)\b/],
  ['yellow', /, awaited$/],
  ['green', /^(?:done|ok|complete|pass|passed)\b/],
];

/** The colour of a state; null for one that goes its way, such as `rolling` or `idle`. */
export const stateTint: TintOf = (text) =>
  STATES.find(([, pattern]) => pattern.test(text))?.[0] ?? null;

/** A problem of another version than the one that runs is past: `of VERSION` stands behind it. */
const problemTint: TintOf = (text) => (text === '' || / of /.test(text) ? null : 'red');
const waitTint: TintOf = (text) => (text === '' ? null : 'yellow');

/** Columns of tables, by their heads. */
const COLUMNS: Readonly<Record<string, TintOf>> = {
  STATUS: stateTint,
  STATE: stateTint,
  DOING: stateTint,
  FAILED: (text) => (/^[1-9]/.test(text) ? 'red' : null),
  'LAST ERROR': problemTint,
  'WAITS FOR': waitTint,
};

interface Column {
  readonly from: number;
  readonly to: number;
  readonly tintOf: TintOf | null;
}

/** For a table under a line of heads, two spaces apart (`formatTable`), and lines that follow it. */
export const paintTable: Painter = (lines, tinted) => {
  const first = lines.findIndex((line) => /^[A-Z][A-Z ]+$/.test(line));
  const columns = columnsOf(lines[first] ?? '');
  const rows = lines.slice(first + 1);
  const isRow = (line: string): boolean =>
    columns.every(({ from }) => line.slice(Math.max(0, from - GAP), from).trim() === '');
  const end = rows.findIndex((line) => !isRow(line));
  const last = end < 0 ? lines.length : first + 1 + end;
  return lines.map((line, at) =>
    at > first && at < last ? paintRow(line, columns, tinted) : line,
  );
};

/** Spaces between two columns. */
const GAP = 2;

function columnsOf(heads: string): Column[] {
  const found = [...heads.matchAll(/\S+(?: \S+)*/g)];
  return found.map(({ 0: head, index: from }, at) => {
    const to = found[at + 1]?.index ?? Number.MAX_SAFE_INTEGER;
    return { from, to, tintOf: COLUMNS[head] ?? null };
  });
}

/** From the end, so that the places of earlier columns stay. */
const paintRow = (line: string, columns: readonly Column[], tinted: Tinted): string =>
  columns.reduceRight((text, { from, to, tintOf }) => {
    if (tintOf === null) return text;
    return text.slice(0, from) + tintText(line.slice(from, to), tintOf, tinted) + text.slice(to);
  }, line);

/** The spaces behind a cell stay without colour. */
function tintText(text: string, tintOf: TintOf, tinted: Tinted): string {
  const said = text.trimEnd();
  const tint = tintOf(said);
  return tint === null || said === '' ? text : tinted(said, tint) + text.slice(said.length);
}

/** A pattern with the words before the state, the state, and what stands behind it. */
type Rule = readonly [pattern: RegExp, tintOf: TintOf];

const paintBy =
  (rules: readonly Rule[]): Painter =>
  (lines, tinted) =>
    lines.map((line) => {
      for (const [pattern, tintOf] of rules) {
        const [, before = '', state = '', after = ''] = pattern.exec(line) ?? [];
        if (state !== '') return before + tintText(state, tintOf, tinted) + after;
      }
      return line;
    });

const always =
  (tint: Tint): TintOf =>
  () =>
    tint;

/** `rollout status`: words behind a label, and labels of what is wrong. */
export const paintStatus = paintBy([
  [/^((?:status|gate) {2,})([^,;]+)(.*)$/, stateTint],
  [/^()((?:failed|error|unmet))( {2,}.*)$/, always('red')],
]);

/** `doctor`: the verdict at the begin of a line. */
export const paintFindings = paintBy([[/^()(ok|warn|fail)( {2,}.*)$/, stateTint]]);

/** `fleet robot`: the phase of a component, and labels of what is wrong or waits. */
export const paintRobot = paintBy([
  [/^(component .*: )([^:]+)()$/, stateTint],
  [/^( *)(problem)( {2,}.*)$/, always('red')],
  [/^( *)(waits)( {2,}.*)$/, always('yellow')],
]);

/** `drover-robot explain`: the same, in its sentences. */
export const paintExplained = paintBy([
  [/^( {2}now: )(stuck|rolling back|rebooting out)(.*)$/, (text) => stateTint(text) ?? 'yellow'],
  [/^( {2})(waits for|warning)(: .*)$/, always('yellow')],
  [/^( {2})(blocked)(: .*)$/, always('red')],
  [/^( {2})((?!hint|now)[^:]+)(: .*\([A-Z][A-Z_]+\))$/, always('red')],
]);
