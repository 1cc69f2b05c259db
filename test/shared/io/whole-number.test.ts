/**
 * Options that take a number: a word that is no number, or out of bounds, is a usage error, never
 * NaN.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import yargs from 'yargs';
import { renderCommandLines } from '../../../docs/cli-page.ts';
import { wholeNumber } from '../../../shared/io/cli-options.ts';

describe('an option that takes a whole number', () => {
  const read = (...words: string[]): unknown =>
    yargs(words)
      .option('boots', { ...wholeNumber('boots', { least: 1, most: 100 }), default: 3 })
      .exitProcess(false)
      .fail((message, error) => {
        throw error ?? new Error(message);
      })
      .parseSync()['boots'];

  it('is read within its bounds, and is its default without a value', () => {
    assert.deepEqual([read(), read('--boots', '1'), read('--boots=100')], [3, 1, 100]);
  });

  for (const text of [
    'abc',
    '0',
    '-1',
    '',
    ' ',
    '101',
    '1e1',
    '0x10',
    '1.5',
    '٣',
    '9'.repeat(400),
  ]) {
    it(`refuses ${JSON.stringify(text.slice(0, 20))}`, () => {
      assert.throws(
        () => read(`--boots=${text}`),
        /read --boots: want a whole number from 1 to 100/,
      );
    });
  }

  it('is the only way in which a program reads a number: yargs takes anything for one', async () => {
    assert.doesNotMatch(await renderCommandLines(), /\[number\]/);
  });
});
