/**
 * A proof of logging beside its manifest holds, and no longer holds when any byte of it changes.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { assertLogged, openLogProof } from '../../../shared/tlog/logged.ts';
import { parseLogPolicy } from '../../../shared/tlog/policy.ts';
import { parseLogProof } from '../../../shared/tlog/proof.ts';
import { makeProof, ORIGIN, policyText } from './log-maker.ts';

const MANIFESTS = Array.from({ length: 11 }, (_, at) => utf8(`{"version":"1.${at}.0"}`));
const [FIRST = utf8('')] = MANIFESTS;
const policy = (...more: string[]) => parseLogPolicy(utf8(policyText(...more)));
const MISSING = { code: 'LOG_PROOF_MISSING' };
const INVALID = { code: 'LOG_PROOF_INVALID' };

test('a manifest with its proof is logged, and no other manifest with it is [P-14.6]', async () => {
  for (const [index, manifest] of MANIFESTS.entries()) {
    const proof = await makeProof(MANIFESTS, index);
    const logged = assertLogged(manifest, proof, policy('quorum none'));
    assert.deepEqual(logged, { origin: ORIGIN, index, size: MANIFESTS.length });
    assert.throws(() => assertLogged(utf8('{}'), proof, policy('quorum none')), INVALID);
  }
  assert.throws(() => assertLogged(FIRST, undefined, policy('quorum none')), MISSING);
  assert.throws(() => assertLogged(FIRST, '', policy('quorum none')), INVALID);
});

test('a proof with too few witnesses is refused by a policy that requires more, and the refusal names those it has', async () => {
  const proof = await makeProof(MANIFESTS, 0, ['w1']);
  const two = policy('group two 2 w1 w2 w3', 'quorum two');
  const message = /too few witnesses \(got w1, want two\)/;
  assert.throws(() => assertLogged(FIRST, proof, two), { ...INVALID, message });
  const seen = await makeProof(MANIFESTS, 0, ['w1', 'w3']);
  assert.equal(assertLogged(FIRST, seen, two).index, 0);
});

test('any changed character of a proof that matters makes it invalid, and none an error', async () => {
  const [proof, strict] = [await makeProof(MANIFESTS, 4, ['w1']), policy('quorum w1')];
  const manifest = MANIFESTS[4] ?? FIRST;
  for (let at = 0; at < proof.length; at += 1) {
    const code = proof.charCodeAt(at);
    const other = String.fromCharCode(code === 0x2014 ? 0x2d : code ^ 1);
    const changed = proof.slice(0, at) + other + proof.slice(at + 1);
    assert.throws(() => assertLogged(manifest, changed, strict), INVALID, `${at}: ${other}`);
  }
});

test('text of any kind is a proof or is refused with its code', () => {
  const line = fc.oneof(
    fc.constantFrom('c2sp.org/tlog-proof@v1', 'extra AA==', 'index 0', 'index 01', '', ORIGIN),
    fc.base64String({ maxLength: 44 }),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      assert.throws(() => openLogProof(lines.join('\n'), FIRST), INVALID);
    }),
  );
});

test('a proof may carry extra data, which says nothing, and has one spelling otherwise [P-14.4]', async () => {
  const proof = await makeProof(MANIFESTS, 4);
  const extra = proof.replace('\n', '\nextra AAEC\n');
  assert.equal(parseLogProof(extra).index, 4);
  const bad = [
    proof.replace('\n', '\nextra A\n'),
    proof.replace('index 4', 'index 04'),
    proof.replace('index 4', 'index'),
    proof.replace('@v1', '@v2'),
    `\n${proof}`,
    proof.replace('\n\n', '\n\n\n'),
    proof.replace('\nindex', '\nmore\nindex'),
    proof + 'x'.repeat(9_000),
  ];
  for (const text of bad) assert.throws(() => parseLogProof(text), { code: 'LOG_NOTE_INVALID' });
});
