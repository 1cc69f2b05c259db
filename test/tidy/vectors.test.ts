/** The worked example stays what it was, and a reader that shares no code with us agrees with it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openAnnouncement } from '../../shared/formats/announcement.ts';
import { verifyBundle } from '../../shared/formats/bundle-signature.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { openProgress } from '../../shared/formats/progress.ts';
import { parseTrust } from '../../shared/formats/trust.ts';
import { makeWorkedExample, type WorkedExample } from '../../docs/worked-example.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { requirePeer } from '../helpers/peer.ts';

const file = repositoryFile('test/vectors/worked-example.json');
const golden = JSON.parse(readFileSync(file, 'utf8')) as WorkedExample;

test('the code makes the bytes of the worked example, as it always did', async () => {
  assert.deepEqual(JSON.parse(JSON.stringify(await makeWorkedExample())), golden);
});

test('a robot of the worked example accepts its announcement, progress and bundle', () => {
  const trust = parseTrust(utf8(golden.trust_json));
  const announcement = openAnnouncement(utf8(golden.announcement.message), trust);
  const rollout = announcement.rollouts[0];
  assert.ok(rollout);
  const { manifest, signature } = rollout;
  verifyBundle({ manifestBytes: manifest, signatures: [signature], trust });
  assert.equal(openProgress(utf8(golden.progress.message), trust).rollout, rollout.id);
});

test("Python's cryptography agrees with the worked example [P-4.1] [P-3.3]", (t) => {
  const python = requirePeer(t, '/usr/bin/python3');
  if (python === null) return;
  const check = spawnSync(python, [repositoryFile('test/vectors/check.py'), file]);
  if (check.stderr.includes("No module named 'cryptography'") && process.env['CI'] !== 'true') {
    t.skip("Python's cryptography is not installed: bash test/install-peers.sh");
    return;
  }
  assert.equal(check.status, 0, check.stderr.toString());
  assert.equal(check.stdout.toString().trim().split('\n').at(-1), 'cohort');
});
