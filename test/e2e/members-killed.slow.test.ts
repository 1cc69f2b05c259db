/** Real processes: a leader that is killed while a set is on trial, and after it was confirmed. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeCommits } from '../../robot-client/members/record-file.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { stageMembers } from './members-stage.ts';
import type { Robot } from './site.ts';

const COPIES = ['commits.json', 'commits.copy.json'] as const;

interface OnDisk {
  readonly job: { readonly health: string; readonly commitId: string | null } | null;
}

async function untilSure(robot: Robot): Promise<void> {
  const look = (): string => robot.child.describe();
  const path = join(robot.root, 'state/machine.json');
  const isSure = async (): Promise<boolean> =>
    (JSON.parse(await readFile(path, 'utf8')) as OnDisk).job?.health === 'sure';
  await waitUntil(`${path} says healthy for good`, isSure, { timeoutMs: 60_000, look });
}

test('a decision is followed by the leader itself after kill -9, and by the others when its record is lost', async (t) => {
  const { site, broker, leader, member, publish, both } = await stageMembers(t);
  await publish('1.0.0', '--id', 'first');
  await both('1.0.0');

  // Once the last one is switched too, the member waits before it says that it is healthy for good.
  const mayBeSure = site.path('may-be-sure');
  const areAllSwitched = `[ "$(readlink ${leader.root}/active)" = releases/2.0.0 ]`;
  await member.hook('health', `! ${areAllSwitched} || [ -e ${mayBeSure} ] || exit 75`);
  await publish('2.0.0', '--supersede', 'first');
  await untilSure(leader);

  // Nothing has failed, so nothing goes back.
  await leader.killAndRestart();
  await leader.until('is on trial as before', ({ phase }) => phase === 'probation');
  await waitUntil('the leader leads', () =>
    leader.child.stderr.includes('all computers are there'),
  );
  assert.doesNotMatch(leader.child.stderr, /rolling_back/);

  // As it is on the disks right after `confirm` was stored: both are killed.
  await leader.kill();
  await writeFile(mayBeSure, '');
  await untilSure(member);
  await member.kill();
  const folder = join(leader.root, 'state/members');
  const { check: _, ...fields } = JSON.parse(await readFile(join(folder, COPIES[0]), 'utf8')) as {
    check: string;
    commits: { decision: string }[];
  };
  assert.equal(fields.commits[0]?.decision, 'switch');
  const commits = fields.commits.map((one) => ({ ...one, decision: 'confirm' }));
  for (const name of COPIES)
    await writeFile(join(folder, name), encodeCommits({ ...fields, commits }));
  leader.start();
  await leader.runs('2.0.0', 60_000);
  assert.doesNotMatch(leader.child.stderr, /rolling_back/);

  // The record is lost before the member got it: what the leader runs proves the decision.
  await leader.kill();
  for (const name of COPIES) await writeFile(join(folder, name), '{"check"');
  leader.start();
  await leader.until('says so', ({ last_error: why }) => why?.code === 'STATE_CORRUPT');
  const fleet = await site.drover('fleet', 'robots', '--api', broker.httpUrl);
  assert.match(fleet, /STATE_CORRUPT/);
  member.start();
  await both('2.0.0');
  assert.equal((await member.status()).last_update?.outcome, 'installed');
});
