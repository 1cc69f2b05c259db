/** Signed notes, checkpoints and their keys, with a note of another implementation among them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { parseCheckpoint, readCheckpoint } from '../../../shared/tlog/checkpoint.ts';
import { formatNote, parseNote, withSignature } from '../../../shared/tlog/note.ts';
import {
  formatVerifier,
  parseVerifier,
  signatureOf,
  signNote,
} from '../../../shared/tlog/note-keys.ts';
import { LOG_KEY, LOG_SIGNER, makeCheckpoint, noteBytes, ORIGIN, witnessKey } from './log-maker.ts';

const INVALID = { code: 'LOG_NOTE_INVALID' };

/** The example of the package golang.org/x/mod/sumdb/note. */
const NEUMANN = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const HIS_SIGNATURE =
  'x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=';
const HIS_NOTE = `If you think cryptography is the answer to your problem,
then you don't know what your problem is.

\u2014 PeterNeumann ${HIS_SIGNATURE}
`;

test('a note that another implementation signed holds, and a changed one does not [P-14.3]', () => {
  const verifier = parseVerifier(NEUMANN, 'log');
  assert.equal(formatVerifier(verifier), NEUMANN);
  assert.equal(signatureOf(parseNote(HIS_NOTE), verifier), 'holds');
  assert.equal(formatNote(parseNote(HIS_NOTE)), HIS_NOTE);
  const changed = parseNote(HIS_NOTE.replace('answer', 'Answer'));
  assert.equal(signatureOf(changed, verifier), 'fails');
  const sumdb = 'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8';
  assert.equal(signatureOf(parseNote(HIS_NOTE), parseVerifier(sumdb, 'log')), 'absent');
});

test('a key text whose id, type or name is another one is refused', () => {
  const wrong = ['', 'name', LOG_KEY.replace(/\+/, '+0'), LOG_KEY.slice(0, -4), ` ${LOG_KEY}`];
  const other = LOG_KEY.replace(ORIGIN, 'example.org/other');
  for (const text of [...wrong, other, witnessKey('w1')]) {
    assert.throws(() => parseVerifier(text, 'log'), INVALID, text);
  }
  assert.throws(() => parseVerifier(LOG_KEY, 'witness'), INVALID);
});

test('a checkpoint is an origin, a size and a root, in one spelling [P-14.2]', async () => {
  const note = await makeCheckpoint([utf8('one'), utf8('two')]);
  const whole = formatNote(note);
  const { origin, size, root } = parseCheckpoint(whole);
  assert.deepEqual([origin, size, root.byteLength], [ORIGIN, 2, 32]);
  const bad = [
    whole.replace('\n2\n', '\n02\n'),
    whole.replace('\n2\n', '\n-2\n'),
    whole.replace('\n2\n', '\n9007199254740993\n'),
    whole.replace(ORIGIN, ''),
    whole.replaceAll('\n', '\r\n'),
    whole.slice(0, -1),
    whole.replace('\n\n', '\n'),
    whole.replace('\u2014', '-'),
    `${whole}\n`,
    `\ufeff${whole}`,
    whole + (whole.split('\n').at(-2) ?? '') + '\n',
    note.text,
    '',
  ];
  for (const text of bad) {
    // With a mark before it the origin is another one; whose it is, its signature says.
    if (text.startsWith('\ufeff')) assert.notEqual(parseCheckpoint(text).origin, ORIGIN);
    else assert.throws(() => parseCheckpoint(text), INVALID, JSON.stringify(text));
  }
  assert.throws(() => readCheckpoint(new Uint8Array([0xff])), INVALID);
  assert.throws(() => readCheckpoint(new Uint8Array(1 << 20).fill(0x20)), INVALID);
});

test('a cosignature is over its time and the text, and no log signature [P-14.3]', async () => {
  const note = await makeCheckpoint([utf8('one')], ['w1']);
  const [w1, w2] = [parseVerifier(witnessKey('w1'), 'witness'), witnessKey('w2')];
  assert.equal(signatureOf(note, w1), 'holds');
  assert.equal(signatureOf(note, parseVerifier(w2, 'witness')), 'absent');
  const [log, cosignature] = note.signatures;
  assert.ok(log && cosignature);
  const later = cosignature.bytes.slice();
  later[7] = (later[7] ?? 0) ^ 1; // of its time
  const forged = { text: note.text, signatures: [log, { ...cosignature, bytes: later }] };
  assert.equal(signatureOf(forged, w1), 'fails');
  const short = { ...cosignature, bytes: cosignature.bytes.slice(8) };
  assert.equal(signatureOf({ text: note.text, signatures: [short] }, w1), 'fails');
});

test('one key has one line: a newer signature stands in the place of the older', async () => {
  const note = await makeCheckpoint([utf8('one')]);
  const again = withSignature(note, await signNote(note.text, ORIGIN, LOG_SIGNER));
  assert.equal(formatNote(again), formatNote(note));
  const twice = { ...note, signatures: [...note.signatures, ...note.signatures] };
  assert.throws(() => readCheckpoint(noteBytes(twice)), INVALID);
});
