/** Reads a log from a broker: accepts what is proved, and reports a log that was rewritten. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertExtends,
  needLog,
  openLog,
  openMendable,
  openOlder,
} from '../../../publisher/log/read-log.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { readCheckpoint } from '../../../shared/tlog/checkpoint.ts';
import { parseLogPolicy } from '../../../shared/tlog/policy.ts';
import { makeCheckpoint, noteBytes, policyText } from '../../shared/tlog/log-maker.ts';

const ENTRIES = ['a', 'b', 'c', 'd', 'e'].map(utf8);
const policy = parseLogPolicy(utf8(policyText('quorum none')));
const INVALID = { code: 'LOG_INVALID' };

const held = async (entries: readonly Uint8Array[], of = entries) => ({
  checkpoint: noteBytes(await makeCheckpoint(of)),
  entries: new Map(entries.entries()),
});

test('a log is believed when its entries make the root that its key signed', async () => {
  const log = needLog(await held(ENTRIES), policy);
  assert.deepEqual([log.entries.length, log.seen.isWitnessed], [5, true]);
  const more = needLog(await held(ENTRIES, ENTRIES.slice(0, 4)), policy);
  assert.equal(more.entries.length, 4, 'what no checkpoint holds is not in the log');
});

test('a log that lacks, swaps or changes an entry, or that a stranger signed, is refused', async () => {
  const [a = utf8(''), b = utf8(''), ...rest] = ENTRIES;
  const swapped = await held([b, a, ...rest], ENTRIES);
  assert.throws(() => openLog(swapped, policy), INVALID);
  const short = await held(ENTRIES.slice(0, 4), ENTRIES);
  assert.throws(() => openLog(short, policy), { ...INVALID, message: /entry 4 of 5 is not there/ });
  const signer = seedSigner(new Uint8Array(32).fill(5));
  const theirs = noteBytes(await makeCheckpoint(ENTRIES, [], { signer }));
  assert.throws(() => openLog({ ...swapped, checkpoint: theirs }, policy), INVALID);
  assert.throws(() => openOlder(theirs, policy), INVALID);
});

test('no log is no log, and entries without a checkpoint are a lost one', () => {
  const nothing = { checkpoint: null, entries: new Map<number, Uint8Array>() };
  assert.equal(openLog(nothing, policy), null);
  assert.throws(() => needLog(nothing, policy), { code: 'LOG_ABSENT' });
  assert.equal(openLog({ checkpoint: null, entries: new Map([[0, utf8('a')]]) }, policy), null);
  const lost = { checkpoint: null, entries: new Map([[1, utf8('b')]]) };
  assert.throws(() => openLog(lost, policy), INVALID);
});

test('an older checkpoint is extended, or the log was rewritten', async () => {
  const log = needLog(await held(ENTRIES), policy);
  const olderOf = async (entries: readonly Uint8Array[], origin?: string) =>
    readCheckpoint(noteBytes(await makeCheckpoint(entries, [], origin ? { origin } : {})));
  for (let size = 0; size <= ENTRIES.length; size += 1) {
    assertExtends(log, await olderOf(ENTRIES.slice(0, size)));
  }
  const rewritten = { code: 'LOG_REWRITTEN' };
  for (const older of [
    await olderOf(['x', 'b'].map(utf8)),
    await olderOf([...ENTRIES, utf8('f')]),
    await olderOf(ENTRIES, 'example.org/other'),
  ]) {
    assert.throws(() => assertExtends(log, older), rewritten);
  }
});

test('a log that a backup took back is the same again when the same entries are added', async () => {
  const seen = readCheckpoint(noteBytes(await makeCheckpoint(ENTRIES)));
  const restored = needLog(await held(ENTRIES.slice(0, 3)), policy);
  assert.throws(() => assertExtends(restored, seen), { code: 'LOG_REWRITTEN' });
  assertExtends(needLog(await held([...ENTRIES, utf8('f')]), policy), seen);
});

test('a head with bad signatures is signed again only where it extends a head that was signed', async () => {
  const good = await makeCheckpoint(ENTRIES);
  const [own] = good.signatures;
  assert.ok(own);
  const signatures = [{ ...own, bytes: new Uint8Array(64) }];
  const log = { ...(await held(ENTRIES)), checkpoint: noteBytes({ ...good, signatures }) };
  assert.throws(() => needLog(log, policy), INVALID);
  const since = noteBytes(await makeCheckpoint(ENTRIES.slice(0, 3)));
  assert.match(openMendable(log, policy, since).seen.fault ?? '', /is bad/);
  const elsewhere = noteBytes(await makeCheckpoint(ENTRIES.slice(1, 3)));
  assert.throws(() => openMendable(log, policy, elsewhere), { code: 'LOG_REWRITTEN' });
  assert.throws(() => openMendable(log, policy, log.checkpoint), INVALID);
  const lacking = { ...log, entries: new Map(ENTRIES.slice(1).entries()) };
  assert.throws(() => openMendable(lacking, policy, since), INVALID);
});
