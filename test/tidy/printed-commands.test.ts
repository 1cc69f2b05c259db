/** Every block of commands that a page prints is run by a test, or says why no test can. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PRINTED, printedBlocks } from '../helpers/printed-pages.ts';
import { allSources, allTextFiles } from '../helpers/sources.ts';

test('each block of commands of each page is listed, and no other', () => {
  const pages = allTextFiles().filter(({ path }) => path.endsWith('.md'));
  const found = pages.flatMap(({ path }) => {
    const { length } = printedBlocks(path);
    return length > 0 ? [`${path}: ${length}`] : [];
  });
  const listed = Object.entries(PRINTED).map(([page, blocks]) => `${page}: ${blocks.length}`);
  assert.deepEqual(found.sort(), listed.sort());
});

test('each page with a block that can be run is run by a test', () => {
  const tests = allSources().filter(({ path }) => /^test\/e2e\/.*\.test\.ts$/.test(path));
  const idle = Object.entries(PRINTED)
    .filter(([, blocks]) => blocks.includes(null))
    .map(([page]) => page)
    .filter((page) => !tests.some(({ text }) => text.includes(`runPrinted(t, '${page}'`)));
  assert.deepEqual(idle, []);
});
