/**
 * Two computers of one robot as real processes: a set that is taken back by the fleet, a computer
 * that is away, and agents that are killed at any moment of many sets, one after another.
 */

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { waitUntil } from '../helpers/wait-until.ts';
import { stageMembers } from '../e2e/members-stage.ts';

const ROUNDS = Number(process.env['DROVER_MEMBER_ROUNDS'] ?? 12);

describe('a robot of two computers', () => {
  it('is taken back as a whole, when all computers are there', async (t) => {
    const { site, broker, member, publish, both, leader } = await stageMembers(t, { leads: true });
    await publish('1.0.0', '--id', 'first');
    await both('1.0.0');
    await publish('2.0.0', '--id', 'second', '--supersede', 'first');
    await both('2.0.0');
    await member.kill();
    const { last_error: why } = await leader.component('vision').until('is away', (one) => {
      return one.last_error?.code === 'MEMBER_AWAY';
    });
    assert.match(why?.message ?? '', /perception/);
    await site.drover('rollout', 'rollback', 'second', '--yes', '--api', broker.httpUrl);
    await sleep(3000);
    assert.equal((await leader.status()).version, '2.0.0', 'no computer goes back alone');
    const fleet = await site.drover('fleet', 'robots', '--api', broker.httpUrl);
    assert.match(fleet, /vision +unknown/, fleet);
    member.start();
    await both('1.0.0');
    assert.equal((await member.status()).last_update?.outcome, 'recalled');
    await waitUntil('both rolled back', async () => {
      const words = ['rollout', 'status', 'second', '--api', broker.httpUrl];
      return (await site.drover(...words)).match(/status +rolled back/g)?.length === 2;
    });
  });

  it('switches nothing while a computer is away', async (t) => {
    const { member, publish, both, leader } = await stageMembers(t);
    await publish('1.0.0', '--id', 'first');
    await both('1.0.0');
    await member.kill();
    await publish('2.0.0', '--supersede', 'first');
    await leader.until('waits', (one) => one.waiting_for?.includes('MEMBER_AWAY') === true);
    assert.equal((await leader.status()).version, '1.0.0');
    member.start();
    await both('2.0.0');
  });

  it(`runs one version after each of ${ROUNDS} sets, whoever is killed and when`, async (t) => {
    const { member, publish, leader } = await stageMembers(t);
    const sick = '[ "$DROVER_COMPONENT ${DROVER_VERSION%%.*}" != "$(cat "$0.sick" 2>/dev/null)" ]';
    for (const one of [leader, member]) await one.hook('health', `${sick} || exit 70`);
    let last: string | null = null;
    for (let round = 1; round <= ROUNDS; round += 1) {
      const version = `${round}.0.0`;
      const more = last === null ? [] : ['--supersede', last];
      await publish(version, '--id', `set-${round}`, '--health-timeout', '5s', ...more);
      last = `set-${round}`;
      for (let kills = randomInt(1, 5); kills > 0; kills -= 1) {
        await sleep(randomInt(100, 2000));
        await (randomInt(2) === 0 ? leader : member).killAndRestart();
      }
      await member.runs(version, 120_000);
      await leader.runs(version, 120_000);
    }
  });
});
