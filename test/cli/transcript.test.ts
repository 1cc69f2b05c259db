import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asWritten, parseTranscript, writeTranscript } from './transcript.ts';

const PAGE = `# What it shows.

$ echo one
one

$ false
[exit 1]

$ true
`;

test('a page that is read and written again is the same page', () => {
  const { head, steps } = parseTranscript(PAGE);
  assert.deepEqual(
    steps.map(({ command, said }) => [command, said]),
    [
      ['echo one', 'one'],
      ['false', '[exit 1]'],
      ['true', ''],
    ],
  );
  assert.equal(writeTranscript(head, steps), PAGE);
});

test('output before the first command is no transcript', () => {
  assert.throws(() => parseTranscript('one\n$ echo one\n'), /no comment before/);
});

test('a value that changes from run to run becomes a word, and nothing else does', () => {
  const key = 'ab12'.repeat(16);
  const said = (text: string): string => asWritten(text, { code: 0, folder: '/t/x' });
  assert.equal(
    said(`key ${key}, id ${key.slice(0, 16)}\n`),
    'key «64 hex digits», id «16 hex digits»',
  );
  assert.equal(said('wrote /t/x/a at 2026-11-29T10:00:00Z'), 'wrote «folder»/a at «instant»');
  assert.equal(said('version 1.0.0, 86 B in 3 s'), 'version 1.0.0, 86 B in «n» s');
  assert.equal(asWritten('', { code: 3, folder: '/t' }), '[exit 3]');
});
