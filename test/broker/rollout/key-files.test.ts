/** A controller whose key files do not hold the keys of the root in force, and that finds them later. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyFiles } from '../../../broker/rollout/key-files.ts';
import type { Log } from '../../../shared/base/ports.ts';
import { fixedSeed, makeFleet } from '../../helpers/fleet.ts';
import { publicKeyOf, seedSigner } from '../../../shared/crypto/ed25519.ts';

const QUIET: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function open(files: () => Uint8Array[]) {
  const { trust, seeds: own } = makeFleet();
  const signers = [seedSigner(fixedSeed(9))];
  const read = async () => files().map(seedSigner);
  const keys = new KeyFiles({ signers, read, trust, log: QUIET });
  return { own: own.rollout, signers, keys };
}

test('keys that come into the files after the rotation are taken, and until then it says why', async () => {
  let files = [fixedSeed(9)];
  const { own, signers, keys } = open(() => files);
  await keys.renew();
  assert.equal(keys.problem?.code, 'ENVELOPE_KEY_UNKNOWN');
  assert.match(keys.problem.message, /^lead rollouts under trust.json version \d+: use key/);
  assert.match(keys.problem.hint, /--rollout-key; they are read again every 2 minutes/);
  files = [fixedSeed(9), own]; // both, while the rotation goes on
  await keys.retry();
  assert.equal(keys.problem, null);
  const [signer, ...more] = signers;
  assert.equal(signer?.publicKey, publicKeyOf(own), 'the list itself was changed');
  assert.deepEqual(more, []);
});

test('files that cannot be read are a reason as well, and nothing is read while all fits', async () => {
  let reads = 0;
  const { own, signers, keys } = open(() => {
    reads += 1;
    throw new Error('gone');
  });
  await keys.renew();
  assert.match(keys.problem?.message ?? '', /gone/);
  signers.splice(0, 1, seedSigner(own));
  await keys.retry();
  assert.deepEqual([keys.problem, reads], [null, 1]);
  await keys.retry();
  await keys.renew();
  assert.equal(reads, 1);
});
