/** Route of the robots of one rollout: filtered, paged, and with counts for each wave. */

import type { FastifyInstance } from 'fastify';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Fleet } from '../control/fleet.ts';
import type { RolloutFacts } from '../rollout/rollout-facts.ts';
import {
  countStandings,
  countWaves,
  failuresOf,
  listRobots,
  STANDINGS,
  type RolloutRobot,
} from '../rollout/rollout-robots.ts';
import { REQUEST_HINT } from './http-refusals.ts';

export interface RolloutRobotOptions {
  readonly fleet: Pick<Fleet, 'relayProblemOf'>;
  rolloutFacts(id: string): RolloutFacts | null;
  notFound(id: string): Promise<DroverError>;
}

interface Asked {
  Params: { id: string };
  Querystring: { state?: string; after?: string; limit?: string };
}

/** Beside the standings: robots that the open wave, or the way back, waits for. */
const AWAITED = 'awaited';

export function addRolloutRobotRoutes(app: FastifyInstance, options: RolloutRobotOptions): void {
  app.get<Asked>('/rollouts/:id/robots', async ({ params, query }) => {
    const facts = options.rolloutFacts(params.id);
    if (!facts) throw await options.notFound(params.id);
    const matches = readFilter(query.state);
    const limit = readLimit(query.limit);
    const all = listRobots(facts, {
      relayProblem: (record) => options.fleet.relayProblemOf(record),
    });
    const found = all.filter(matches);
    const { after } = query;
    const left = after === undefined ? found : found.filter(({ robot_id: id }) => id > after);
    const robots = left.slice(0, limit);
    return {
      robots,
      total: found.length,
      next: left.length > limit ? (robots.at(-1)?.robot_id ?? null) : null,
      counts: countStandings(all),
      awaited: all.filter((one) => one.awaited).length,
      waves: countWaves(facts, all),
      failures: failuresOf(all),
    };
  });
}

/** One state, or several with commas; absent for all robots. */
function readFilter(text: string | undefined): (robot: RolloutRobot) => boolean {
  if (text === undefined) return () => true;
  const words: readonly string[] = text.split(',');
  const known: readonly string[] = [AWAITED, ...STANDINGS];
  const unknown = words.find((one) => !known.includes(one));
  if (unknown !== undefined) {
    const want = `want ${known.join(', ')}, or several with commas`;
    throw usage(`read state: no such state (got ${unknown.slice(0, 20)}, ${want})`);
  }
  return ({ state, awaited }) => words.includes(state) || (awaited && words.includes(AWAITED));
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return LIMITS.rolloutRobotsPageMax;
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    const want = `want 1 to 999999999, of which at most ${LIMITS.rolloutRobotsPageMax} come at once`;
    throw usage(`read limit: out of range (got ${text.slice(0, 20)}, ${want})`);
  }
  return Math.min(Number(text), LIMITS.rolloutRobotsPageMax);
}

const usage = (message: string): DroverError =>
  new DroverError('USAGE', message, { hint: REQUEST_HINT });
