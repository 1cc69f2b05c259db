/**
 * Real kills of everything but an agent alone, which `campaign.ts` has: `recover`, an adoption, two
 * agents at one instant, broker and agent at one instant, and an agent that is stopped for longer
 * than its link lives. Each case is one round on one robot.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../helpers/wait-until.ts';
import type { HardRound } from './hard-round.ts';

/** About as long as `recover` takes with the start of its program. */
const RECOVER_MS = 600;
const KEEPALIVE_S = 1;
/** The broker gives a link up after one and a half keepalives. */
const STOPPED_MS = 2_500;
const ADOPTED = '0.0.0';

const times = (round: HardRound): number => 1 + Math.floor(round.random() * 3);

export async function killRecover(round: HardRound): Promise<void> {
  const agent = await round.installed();
  const to = await round.announce();
  await round.moment(to);
  await round.killed(agent);
  await round.look('agent killed');
  for (let left = times(round); left > 0; left -= 1) {
    const recover = round.site.startRecover(round.robot, { root: round.root });
    await sleep(round.random() * RECOVER_MS);
    await round.killed(recover);
    await round.look('recover killed');
  }
  await round.recover('after kills of recover');
  await finish(round, to);
}

export async function killAdoption(round: HardRound): Promise<void> {
  round.known.push(await round.site.placeByHand(join(round.root, 'active'), ADOPTED));
  for (let left = times(round); left > 0; left -= 1) {
    const isBoot = round.random() < 0.5;
    const child = isBoot
      ? round.site.startRecover(round.robot, { root: round.root })
      : round.start();
    await sleep(round.random() * RECOVER_MS * 1.5);
    await round.killed(child);
    await round.look('adoption killed', true);
  }
  await round.recover('after kills of an adoption');
  await finish(round, await round.announce());
}

/** Of two that start at one instant one works, and the other ends with the reason. */
export async function startTwoAgents(round: HardRound): Promise<void> {
  const first = await round.installed();
  const to = await round.announce();
  await round.moment(to);
  await round.killed(first);
  await round.look('agent killed');
  const agents = ['a', 'b'].map((name) =>
    round.start({ args: ['--socket', `${round.root}-${name}.sock`] }),
  );
  const loser = await waitUntil('one of two agents to end', () =>
    agents.find(({ ended }) => ended !== null),
  );
  if (!loser.stderr.includes('ROBOT_ALREADY_RUNNING')) {
    round.violations.push(`the second agent does not say why it ends: ${loser.describe()}`);
  }
  const winner = agents.find((one) => one !== loser);
  if (winner === undefined || winner.ended) return void round.violations.push('both agents ended');
  await round.ends(to, winner);
  await winner.stop();
}

export async function killBrokerToo(round: HardRound): Promise<void> {
  const agent = await round.installed();
  const to = await round.announce();
  await round.moment(to);
  round.site.killBroker();
  await round.killed(agent);
  await round.look('broker and agent killed');
  await round.site.restartBroker();
  await finish(round, to);
}

export async function stopAgent(round: HardRound): Promise<void> {
  const args = ['--keepalive', `${KEEPALIVE_S}s`];
  const agent = await round.installed({ args });
  const to = await round.announce();
  await round.moment(to);
  agent.kill('SIGSTOP');
  await sleep(STOPPED_MS);
  await round.look('agent stopped');
  agent.kill('SIGCONT');
  await round.ends(to, agent);
  await agent.stop();
}

async function finish(round: HardRound, to: Parameters<HardRound['ends']>[0]): Promise<void> {
  const agent = round.start();
  await round.ends(to, agent);
  await agent.stop();
}
