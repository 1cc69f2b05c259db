/** Policies of a log: those that are refused, and the witnesses that are enough. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { seedSigner } from '../../../shared/crypto/ed25519.ts';
import { parseCheckpoint, type Checkpoint } from '../../../shared/tlog/checkpoint.ts';
import { formatNote } from '../../../shared/tlog/note.ts';
import { parseLogPolicy, seenBy } from '../../../shared/tlog/policy.ts';
import { formatVerifier, verifierOf } from '../../../shared/tlog/note-keys.ts';
import {
  LOG_KEY,
  LOG_SIGNER,
  makeCheckpoint,
  policyText,
  witnessKey,
  type WitnessName,
} from './log-maker.ts';

const policy = (...more: string[]) => parseLogPolicy(utf8(policyText(...more)));
/** The key of the log, as the key of a witness. */
const OWN_WITNESS = formatVerifier(verifierOf('witness', 'own', LOG_SIGNER.publicKey));

const checkpoint = async (...witnesses: WitnessName[]): Promise<Checkpoint> =>
  parseCheckpoint(formatNote(await makeCheckpoint([utf8('one')], witnesses)));

test('a quorum counts witnesses, and groups of them, as it is written [P-14.5]', async () => {
  const nested = ['group eu 2 w1 w2', 'group all-of-them all eu w3', 'quorum all-of-them'];
  const cases: [string[], WitnessName[], boolean][] = [
    [['quorum none'], [], true],
    [['quorum w2'], ['w1'], false],
    [['quorum w2'], ['w2'], true],
    [['group g any w1 w2', 'quorum g'], ['w2'], true],
    [['group g any w1 w2', 'quorum g'], ['w3'], false],
    [['group g all w1 w2', 'quorum g'], ['w2'], false],
    [['group g 2 w1 w2 w3', 'quorum g'], ['w1', 'w3'], true],
    [nested, ['w1', 'w2', 'w3'], true],
    [nested, ['w1', 'w3'], false],
    [nested, ['w1', 'w2'], false],
  ];
  for (const [lines, witnesses, want] of cases) {
    const seen = seenBy(await checkpoint(...witnesses), policy(...lines));
    assert.deepEqual([seen.fault, seen.isWitnessed], [null, want], `${lines} ${witnesses}`);
    assert.deepEqual(seen.witnesses, witnesses);
  }
});

test('comments, tabs, empty lines, addresses and a missing last line feed are taken', () => {
  const text = `# ours\n\n \tlog\t${LOG_KEY} https://log.example \n # more\nquorum none`;
  assert.equal(parseLogPolicy(utf8(text)).logs.length, 1);
});

test('an ambiguous policy is refused, with its line', () => {
  const wrong: [string, RegExp][] = [
    ['', /no quorum/],
    ['quorum none\nquorum none', /line 6: .*already/],
    ['quorum w4', /line 5: there is no "w4"/],
    ['quorum', /want quorum/],
    ['group g 3 w1 w2\nquorum g', /line 5: .*1 to 2/],
    ['group g 0 w1\nquorum g', /1 to 1/],
    ['group g 02 w1 w2\nquorum g', /1 to 2/],
    ['group g any\nquorum g', /want group/],
    ['group g any g\nquorum g', /there is no "g"/],
    ['group g any none\nquorum g', /there is no "none"/],
    ['group g any w1 w1\nquorum g', /twice/],
    ['group g any w1\ngroup h any w1 g\nquorum h', /line 6: "w1" is a member twice/],
    ['group none any w1\nquorum none', /taken/],
    ['group w1 any w2\nquorum w1', /taken/],
    [`witness w4 ${witnessKey('w1')}\nquorum none`, /line 5: .*there already/],
    [`log ${LOG_KEY}\nquorum none`, /line 5: .*there already/],
    [`log ${witnessKey('w1')}\nquorum none`, /of another kind/],
    [`witness own ${OWN_WITNESS}\nquorum own`, /line 5: .*there already/],
    ['Quorum none', /want log, witness, group or quorum/],
    ['quorum none\r', /control character/],
    ['quorum none #x', /want quorum/],
  ];
  for (const [more, message] of wrong) {
    assert.throws(() => policy(more), { code: 'LOG_POLICY_INVALID', message }, more);
  }
  assert.throws(() => parseLogPolicy(utf8('quorum none\n')), { message: /names no log/ });
  assert.throws(() => parseLogPolicy(new Uint8Array([0xff])), { message: /UTF-8/ });
  assert.throws(() => parseLogPolicy(new Uint8Array(65_537).fill(0x20)), { message: /too large/ });
});

test('a checkpoint of another log, by another key, or with a false signature is not believed', async () => {
  const known = policy('quorum none');
  const otherOrigin = await makeCheckpoint([utf8('one')], [], { origin: 'example.org/other' });
  const stranger = seedSigner(new Uint8Array(32).fill(9));
  const otherKey = await makeCheckpoint([utf8('one')], [], { signer: stranger });
  for (const note of [otherOrigin, otherKey]) {
    const seen = seenBy(parseCheckpoint(formatNote(note)), known);
    assert.match(seen.fault ?? '', /no log of the policy has signed/);
  }
  const good = await makeCheckpoint([utf8('one')], ['w1']);
  for (const at of [0, 1]) {
    const signatures = good.signatures.map((one, which) =>
      which === at ? { ...one, bytes: one.bytes.map((byte) => byte ^ 1) } : one,
    );
    const seen = seenBy(parseCheckpoint(formatNote({ ...good, signatures })), known);
    assert.match(seen.fault ?? '', /signature of .* is bad/, `${at}`);
  }
});
