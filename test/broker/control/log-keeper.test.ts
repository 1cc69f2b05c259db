/** The messages of a transparency log that a broker accepts or refuses. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeLogMessage, type LogTopic } from '../../../broker/control/log-keeper.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { checkpointText } from '../../../shared/tlog/checkpoint.ts';
import { withSignature } from '../../../shared/tlog/note.ts';
import { signNote } from '../../../shared/tlog/note-keys.ts';
import { parseLogPolicy, type LogPolicy } from '../../../shared/tlog/policy.ts';
import { makeCheckpoint, noteBytes, ORIGIN, policyText } from '../../shared/tlog/log-maker.ts';

const manifestOf = (version: string): Uint8Array =>
  utf8(
    JSON.stringify({
      version,
      ...{ min_current_version: '0.0.0', rollback_version: '0.0.0', target_arch: 'any' },
      ...{ payload_sha256: 'ab'.repeat(32), apply_strategy: 'atomic_swap' },
    }),
  );
const ENTRIES = ['1.0.0', '1.1.0', '1.2.0'].map(manifestOf);
const [FIRST = utf8(''), SECOND = utf8(''), THIRD = utf8('')] = ENTRIES;
const HEAD: LogTopic = { kind: 'log-checkpoint' };
const entryAt = (index: number): LogTopic => ({ kind: 'log-entry', index });
const NOTHING = new Uint8Array();
const APPEND_ONLY = { code: 'LOG_APPEND_ONLY' };

class Kept {
  checkpoint: Uint8Array | null = null;
  policy: LogPolicy | null = null;
  readonly entries = new Map<number, Uint8Array>();

  entry(index: number): Uint8Array | null {
    return this.entries.get(index) ?? null;
  }

  take(topic: LogTopic, payload: Uint8Array): void {
    judgeLogMessage(topic, payload, this);
    if (topic.kind === 'log-checkpoint') this.checkpoint = payload;
    else this.entries.set(topic.index, payload);
  }
}

async function logOfTwo(): Promise<Kept> {
  const kept = new Kept();
  kept.take(entryAt(0), FIRST);
  kept.take(HEAD, noteBytes(await makeCheckpoint([FIRST])));
  kept.take(entryAt(1), SECOND);
  kept.take(HEAD, noteBytes(await makeCheckpoint([FIRST, SECOND])));
  return kept;
}

test('a log grows at its end, and an entry that its head holds stands for ever [P-14.7]', async () => {
  const kept = await logOfTwo();
  kept.take(entryAt(1), SECOND); // the same again
  for (const bytes of [THIRD, NOTHING]) {
    assert.throws(() => kept.take(entryAt(0), bytes), APPEND_ONLY);
    assert.throws(() => kept.take(entryAt(1), bytes), APPEND_ONLY);
  }
  assert.throws(() => kept.take(entryAt(3), THIRD), { ...APPEND_ONLY, message: /gap \(want 2\)/ });
});

test('an entry that no head holds yet is replaced: its writer may have died', async () => {
  const kept = await logOfTwo();
  kept.take(entryAt(2), FIRST);
  kept.take(entryAt(2), THIRD);
  kept.take(HEAD, noteBytes(await makeCheckpoint(ENTRIES)));
  assert.throws(() => kept.take(entryAt(2), FIRST), APPEND_ONLY);
});

test('an entry is a manifest of bounded size, and there are only so many', async () => {
  const kept = new Kept();
  assert.throws(() => kept.take(entryAt(0), utf8('junk')), { code: 'JSON_INVALID' });
  assert.throws(() => kept.take(entryAt(0), utf8('{}')), { code: 'MANIFEST_INVALID' });
  const size = LIMITS.logEntriesMax;
  const text = checkpointText('example.org/fleet', { size, root: new Uint8Array(32) });
  const { signatures } = await makeCheckpoint([FIRST]);
  kept.checkpoint = noteBytes({ text, signatures });
  assert.throws(() => kept.take(entryAt(size), FIRST), { code: 'LOG_FULL' });
});

test('a head is never cleared, shrunk, swapped, or of entries that are not here', async () => {
  const kept = await logOfTwo();
  const wrong: [Uint8Array, RegExp | string][] = [
    [NOTHING, /not cleared/],
    [noteBytes(await makeCheckpoint([FIRST])), /newer checkpoint stands/],
    [noteBytes(await makeCheckpoint([SECOND, FIRST])), /another checkpoint of this size/],
    [noteBytes(await makeCheckpoint(ENTRIES)), /entry 2 of the checkpoint is not here/],
    [noteBytes(await makeCheckpoint(ENTRIES, [], { origin: 'other' })), /another log stands/],
  ];
  for (const [bytes, message] of wrong) {
    assert.throws(() => kept.take(HEAD, bytes), { ...APPEND_ONLY, message });
  }
  assert.throws(() => kept.take(HEAD, utf8('junk')), { code: 'LOG_NOTE_INVALID' });
  kept.take(entryAt(2), THIRD);
  const rewritten = await makeCheckpoint([THIRD, SECOND, THIRD]);
  assert.throws(() => kept.take(HEAD, noteBytes(rewritten)), { message: /not of these entries/ });
});

test('a head that only more witnesses have signed is taken', async () => {
  const kept = await logOfTwo();
  kept.take(HEAD, noteBytes(await makeCheckpoint([FIRST, SECOND], ['w1'])));
  kept.take(HEAD, noteBytes(await makeCheckpoint([FIRST, SECOND], ['w1', 'w2'])));
});

test('a head of equal size keeps every signature line, and no second key signs for its origin', async () => {
  const kept = await logOfTwo();
  const good = await makeCheckpoint([FIRST, SECOND], ['w1']);
  kept.take(HEAD, noteBytes(good));
  const [own, cosigned] = good.signatures;
  assert.ok(own && cosigned);
  const bad = (line: typeof own) => ({ ...line, bytes: new Uint8Array(line.bytes.length) });
  const other = await signNote(good.text, ORIGIN, seedSigner(new Uint8Array(32).fill(9)));
  for (const note of [
    { ...good, signatures: [bad(own), cosigned] },
    { ...good, signatures: [own, bad(cosigned)] },
    { ...good, signatures: [cosigned] },
    await makeCheckpoint([FIRST, SECOND], ['w2']),
    withSignature(good, other),
  ]) {
    assert.throws(() => kept.take(HEAD, noteBytes(note)), APPEND_ONLY);
  }
  kept.take(HEAD, noteBytes(good));
});

test('a larger head is of the key that signed for its origin before, by its label', async () => {
  const kept = new Kept();
  kept.take(entryAt(0), FIRST);
  const first = await makeCheckpoint([FIRST]);
  const line = { name: 'somebody', keyId: '00112233', bytes: new Uint8Array(64) };
  const junk = noteBytes({ ...first, signatures: [line] });
  assert.throws(() => kept.take(HEAD, junk), { ...APPEND_ONLY, message: /no key of its origin/ });
  kept.take(HEAD, noteBytes(first));
  kept.take(entryAt(1), SECOND);
  const signer = seedSigner(new Uint8Array(32).fill(9));
  const theirs = await makeCheckpoint([FIRST, SECOND], [], { signer });
  const want = { ...APPEND_ONLY, message: /another key than before/ };
  assert.throws(() => kept.take(HEAD, noteBytes(theirs)), want);
  kept.take(HEAD, noteBytes(await makeCheckpoint([FIRST, SECOND])));
});

test('with a policy, a head takes no line that no key of it signed, and a witness finds its place [P-14.7]', async () => {
  const kept = await logOfTwo();
  const good = await makeCheckpoint([FIRST, SECOND], ['w1']);
  const [own, cosigned] = good.signatures;
  assert.ok(own && cosigned);
  const unknown = { name: 'somebody', keyId: '00112233', bytes: new Uint8Array(72).fill(7) };
  const usurped = { ...cosigned, bytes: new Uint8Array(72).fill(7) };
  // Without one, both stand, and the second keeps the witness out.
  kept.take(HEAD, noteBytes({ ...good, signatures: [own, unknown, usurped] }));
  assert.throws(() => kept.take(HEAD, noteBytes(good)), APPEND_ONLY);
  kept.policy = parseLogPolicy(utf8(policyText('quorum none')));
  kept.take(HEAD, noteBytes(good));
  for (const line of [unknown, { ...usurped, name: 'w2' }]) {
    assert.throws(() => kept.take(HEAD, noteBytes(withSignature(good, line))), APPEND_ONLY);
  }
  assert.throws(() => kept.take(HEAD, noteBytes({ ...good, signatures: [own, usurped] })), {
    ...APPEND_ONLY,
    message: /the cosignature of "w1" is bad/,
  });
  assert.throws(() => kept.take(HEAD, noteBytes({ ...good, signatures: [own] })), APPEND_ONLY);
  kept.take(HEAD, noteBytes(await makeCheckpoint([FIRST, SECOND], ['w1', 'w2', 'w3'])));
  kept.take(entryAt(2), THIRD);
  const stranger = seedSigner(new Uint8Array(32).fill(9));
  const theirs = await makeCheckpoint(ENTRIES, [], { signer: stranger });
  assert.throws(() => kept.take(HEAD, noteBytes(theirs)), { message: /no log of the policy/ });
  kept.take(HEAD, noteBytes(await makeCheckpoint(ENTRIES)));
});
