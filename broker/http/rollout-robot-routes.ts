/** Route of the robots of one rollout: filtered, paged, and with counts for each wave. */

import type { FastifyInstance } from 'fastify';
import type { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Fleet } from '../control/fleet.ts';
import type { RolloutFacts } from '../rollout/rollout-facts.ts';
import {
  countStandings,
  countWaves,
  failuresOf,
  listRobots,
  type RolloutRobot,
} from '../rollout/rollout-robots.ts';
import { AWAITED_STATE } from './route-schemas.ts';

export interface RolloutRobotOptions {
  readonly fleet: Pick<Fleet, 'relayProblemOf'>;
  rolloutFacts(id: string): RolloutFacts | null;
  notFound(id: string): Promise<DroverError>;
}

interface Asked {
  Params: { id: string };
  Querystring: { state?: string; after?: string; limit?: string };
}

export function addRolloutRobotRoutes(app: FastifyInstance, options: RolloutRobotOptions): void {
  app.get<Asked>('/rollouts/:id/robots', async ({ params, query }) => {
    const facts = options.rolloutFacts(params.id);
    if (!facts) throw await options.notFound(params.id);
    const matches = readFilter(query.state);
    const limit = Math.min(Number(query.limit ?? Infinity), LIMITS.rolloutRobotsPageMax);
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
  return ({ state, awaited }) =>
    words.includes(state) || (awaited && words.includes(AWAITED_STATE));
}
