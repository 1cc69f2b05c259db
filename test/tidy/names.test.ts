/** No exported name has two meanings, and few files are splinters. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { productSources } from '../helpers/sources.ts';

const EXPORTED =
  /^export (?:async )?(?:abstract )?(?:function\*?|class|const|interface|type|enum) (\w+)/gm;
/** As the house rules have it: what has so few lines stands with what it belongs to. */
const SPLINTER_LINES = 40;
const SPLINTERS_MAX = 15;

const programSources = () =>
  productSources().filter(({ path }) => /^(?:broker|robot-client|publisher|shared)\//.test(path));

function homes(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { path, text } of programSources()) {
    for (const [, name = ''] of text.matchAll(EXPORTED)) {
      found.set(name, [...(found.get(name) ?? []), path]);
    }
  }
  return found;
}

test('no name is exported with two meanings', () => {
  const all = homes();
  assert.ok(all.size > 500, `${all.size} names`);
  assert.deepEqual(
    [...all].filter(([, paths]) => paths.length > 1),
    [],
  );
});

test('few files are splinters of a few lines', () => {
  const splinters = programSources().filter(
    ({ text }) => text.trimEnd().split('\n').length <= SPLINTER_LINES,
  );
  assert.ok(splinters.length <= SPLINTERS_MAX, splinters.map(({ path }) => path).join('\n'));
});
