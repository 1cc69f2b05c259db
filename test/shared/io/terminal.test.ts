/** Texts of robots, hooks and brokers on a terminal: all programs write through one place. */

import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { shown, shownJson } from '../../../shared/base/printable.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { makeOutput, printFailure, writeAnswer, writeNote } from '../../../shared/io/cli.ts';
import { productSources } from '../../helpers/sources.ts';

const HOSTILE = '\u001b]0;owned\u0007\u001b[31mred\u009b2J\u0085\u202e rtl\rover\u2028end';
const STEERS = /[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}]/u;

/** Collects the text that both streams get while `run` runs. */
function writtenBy(run: () => void): string {
  const texts: string[] = [];
  const kept = [process.stdout, process.stderr].map((stream) => [stream, stream.write] as const);
  for (const [stream] of kept) {
    stream.write = (text: string | Uint8Array): boolean => texts.push(String(text)) > 0;
  }
  try {
    run();
  } finally {
    for (const [stream, write] of kept) stream.write = write;
  }
  return texts.join('');
}

describe('a line on a terminal', () => {
  it('has nothing that steers it, in an answer, a note, an error or JSON', () => {
    const ways: readonly (() => void)[] = [
      () => makeOutput(false).say(HOSTILE),
      () => makeOutput(false).result({}, [HOSTILE]),
      () => makeOutput(true).result({ text: HOSTILE }, []),
      () => writeAnswer(HOSTILE),
      () => writeNote(HOSTILE),
      () =>
        void printFailure('drover', new DroverError('USAGE', HOSTILE, { hint: HOSTILE }), false),
      () => void printFailure('drover', new DroverError('USAGE', HOSTILE), true),
    ];
    for (const way of ways) {
      const written = writtenBy(way);
      assert.doesNotMatch(written, STEERS, String(way));
      assert.match(written, /owned/);
    }
  });

  it('keeps its line feeds and tabs, and every printable character', () => {
    assert.equal(shown('a\tb\nc – é 日本 🤖'), 'a\tb\nc – é 日本 🤖');
    assert.equal(shown('\u001b[1mx\r'), '\\u{1b}[1mx\\u{d}');
  });

  it('has JSON that means the same, whatever it holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const json = shownJson(JSON.stringify({ text }));
        assert.doesNotMatch(json, STEERS);
        assert.deepEqual(JSON.parse(json), { text });
      }),
    );
  });
});

/** These write what is theirs alone: a view that moves the cursor, and files byte for byte. */
const OWN_WRITERS = [
  'publisher/commands/audit.ts',
  'publisher/commands/rollout-attachment.ts',
  'publisher/commands/rollout-watch.ts',
  'shared/io/cli.ts',
];

it('no command writes to the terminal past that place', () => {
  const programs = productSources().filter(({ path }) =>
    /^(?:broker|robot-client|publisher|shared)\/(?!http\/dashboard\/client)/.test(path),
  );
  const writers = programs.filter(({ text }) =>
    /process\.std(?:out|err)\.write\(|console\.(?:log|error|warn|info)\(/.test(text),
  );
  assert.deepEqual(writers.map(({ path }) => path).sort(), OWN_WRITERS);
});
