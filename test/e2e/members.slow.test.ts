/** Real processes: one set on two computers of one robot. */

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { waitUntil } from '../helpers/wait-until.ts';
import { stageMembers } from './members-stage.ts';

test('a set on two computers: both or none, through kill -9, and again on a replaced one', async (t) => {
  const { site, broker, leader, member, publish, both } = await stageMembers(t);
  await publish('1.0.0', '--id', 'first');
  await both('1.0.0');
  const fleet = await site.drover('fleet', 'robots', '--api', broker.httpUrl);
  assert.match(fleet, /amr +yes +app +1\.0\.0[^]*amr +yes +vision +1\.0\.0/);

  // The second one is unhealthy: the first was switched already, and goes back with it.
  await leader.hook('health', '[ "$DROVER_VERSION" != 2.0.0 ] || exit 70');
  await publish('2.0.0', '--id', 'bad', '--health-timeout', '2s');
  const { last_update: why } = await member.until('went back', ({ phase, last_update: last }) => {
    return phase === 'idle' && last?.outcome === 'rolled_back';
  });
  assert.equal(why?.code, 'SET_FAILED');
  await leader.until('is blocked', ({ blocked }) => blocked.includes('2.0.0'));
  await both('1.0.0');

  // Both agents are killed while the last one is on trial, and nothing is decided yet.
  const well = site.path('well');
  await leader.hook('health', `[ "$DROVER_VERSION" != 3.0.0 ] || [ -e ${well} ] || exit 75`);
  await publish('3.0.0', '--supersede', 'bad');
  await leader.until('is on trial', ({ phase }) => phase === 'probation');
  await Promise.all([leader.killAndRestart(), member.killAndRestart()]);
  await writeFile(well, '');
  await both('3.0.0');

  // A replaced computer has an empty disk. The bytes come from the leader: there is no broker.
  await member.kill();
  await rm(member.root, { recursive: true });
  broker.child.kill('SIGKILL');
  await broker.child.exit;
  member.start();
  await member.runs('3.0.0', 60_000);
  await waitUntil('the leader knows', async () => {
    return (await leader.status('vision')).version === '3.0.0';
  });
});
