/** Files and functions stay small enough to be read in one go. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allSources, productSources, type Source } from '../helpers/sources.ts';

const FILE_LINES_MAX = 400;
/** Tables of data, read entry by entry: splitting them would only hide entries from each other. */
const TABLES: readonly string[] = ['shared/base/error-catalogue.ts', 'shared/base/limits.ts'];
const TABLE_LINES_MAX = 700;
const FILE_LINES_MEDIAN_MAX = 120;
const FUNCTION_LINES_MAX = 60;
const LINE_COLUMNS_MAX = 100;

test(`no file is longer than ${FILE_LINES_MAX} lines`, () => {
  const long = allSources()
    .filter(({ path, lines }) => {
      return lines.length > (TABLES.includes(path) ? TABLE_LINES_MAX : FILE_LINES_MAX);
    })
    .map(({ path, lines }) => `${path}: ${lines.length}`);
  assert.deepEqual(long, []);
});

test(`the median source file has at most ${FILE_LINES_MEDIAN_MAX} lines`, () => {
  const sizes = productSources()
    .map(({ lines }) => lines.length)
    .sort((a, b) => a - b);
  const median = sizes[Math.floor(sizes.length / 2)] ?? 0;
  assert.ok(median <= FILE_LINES_MEDIAN_MAX, `median ${median}`);
});

const CONTROL = /^\s*(?:\} )?(?:if|else|for|while|switch|catch|do|try|with)\b/;
const OPENS_FUNCTION = /(?:=> \{|\)(?:: .+)? \{)$/;

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}

/**
 * Functions and their lengths, by the layout that prettier gives every file: a body ends at the
 * first line with the indent of the line that opened it.
 */
function functionsOf({ lines }: Pick<Source, 'lines'>): { line: number; length: number }[] {
  return lines.flatMap((line, at) => {
    if (!OPENS_FUNCTION.test(line)) return [];
    const indent = indentOf(line);
    // A header over several lines opens its body on a line that starts with the closing bracket.
    let start = at;
    if (/^\s*\)/.test(line)) {
      do start -= 1;
      while (start > 0 && (lines[start] === '' || indentOf(lines[start] ?? '') > indent));
    }
    if (CONTROL.test(lines[start] ?? '')) return [];
    const end = lines.findIndex(
      (other, i) => i > at && indentOf(other) === indent && /^\s*\}/.test(other),
    );
    return end < 0 ? [] : [{ line: start + 1, length: end - start + 1 }];
  });
}

test('the counter of lines finds functions of every form and no control blocks', () => {
  const lines = [
    'export async function one(',
    '  a: string,',
    '): Promise<void> {',
    '  if (a) {',
    '    x();',
    '  }',
    '  const two = (b: number): number => {',
    '    return b;',
    '  };',
    '}',
    'class K {',
    '  #three(): { a: number } {',
    '    return { a: 1 };',
    '  }',
    '}',
    'if (',
    '  long',
    ') {',
    '}',
  ];
  assert.deepEqual(functionsOf({ lines }), [
    { line: 1, length: 10 },
    { line: 7, length: 3 },
    { line: 12, length: 3 },
  ]);
});

test(`no function is longer than ${FUNCTION_LINES_MAX} lines`, () => {
  const long = allSources().flatMap((source) =>
    functionsOf(source)
      .filter(({ line }) => !/^\s*describe\(/.test(source.lines[line - 1] ?? ''))
      .filter(({ length }) => length > FUNCTION_LINES_MAX)
      .map(({ line, length }) => `${source.path}:${line}: ${length} lines`),
  );
  assert.deepEqual(long, []);
});

/** Text that cannot be broken without changing what it says. */
const UNBREAKABLE =
  /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`?|\/.+\/[gimsuy]*|https?:\S+/g;

test(`no line is wider than ${LINE_COLUMNS_MAX} columns, apart from strings`, () => {
  const wide = allSources().flatMap(({ path, lines }) => {
    let isLaidOutByHand = false;
    return lines.flatMap((line, at) => {
      if (line.includes('prettier-ignore')) isLaidOutByHand = true;
      const isByHand = isLaidOutByHand;
      if (/^[})\]]/.test(line)) isLaidOutByHand = false;
      if (isByHand || line.length <= LINE_COLUMNS_MAX) return [];
      const rest = line.replace(UNBREAKABLE, '');
      const isText = rest.length < line.length && rest.length <= LINE_COLUMNS_MAX;
      return isText ? [] : [`${path}:${at + 1}: ${line.length} columns`];
    });
  });
  assert.deepEqual(wide, []);
});
