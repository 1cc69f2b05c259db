/**
 * The agent as the first process of a PID namespace: no process that a hook left becomes a zombie.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { requirePeer } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

/** Stands where Node would: leaves orphans that end, lists all states, asks PID 1 to stop. */
const AGENT = `#!/bin/sh
trap 'echo stopped; exit 7' TERM
for i in 1 2 3 4 5; do sh -c 'sleep 0.1 &'; done
sleep 1
grep -h '^State' /proc/[0-9]*/status
kill -TERM 1
while :; do sleep 0.1; done
`;

test('drover-robot as PID 1 waits for orphans, passes SIGTERM on and ends as the agent does', async (t) => {
  if (!requirePeer(t, 'unshare')) return;
  if (process.getuid?.() !== 0) return t.skip('a PID namespace needs root');
  const agent = join(await tempFolder(t), 'agent');
  writeFileSync(agent, AGENT);
  chmodSync(agent, 0o755);
  const script = repositoryFile('robot-client/drover-robot');
  const env = { ...process.env, DROVER_NODE: agent };
  const ended = spawnSync('unshare', ['-pf', '--mount-proc', 'sh', script], {
    env,
    timeout: 20_000,
  });
  const output = ended.stdout.toString();
  assert.match(output, /^State:\tS/m, ended.stderr.toString());
  assert.doesNotMatch(output, /^State:\tZ/m);
  assert.match(output, /^stopped$/m);
  assert.equal(ended.status, 7);
});
