/**
 * Routes of the logs of failed updates: those that a robot has handed over, and the question that
 * makes it hand over what it keeps. A technician may ask as well: the robot can only answer.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { instantText } from '../../shared/base/durations.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { noLog } from '../../shared/formats/failure-log.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import type { Identity } from '../access/access.ts';
import type { Fleet, RobotRecord } from '../control/fleet.ts';
import type { LogShelf } from '../failure-logs/log-shelf.ts';
import { assertNotFromAPage } from './rollout-routes.ts';

export interface LogRoutesOptions {
  readonly fleet: Pick<Fleet, 'get'>;
  readonly logs: Pick<LogShelf, 'of' | 'read'>;
  /** Publishes the question to one robot. @throws DroverError BROKER_UNREACHABLE */
  askLogs(robot: RobotId, component: string | null): Promise<void>;
  identify(request: FastifyRequest): Identity;
}

interface Asked {
  Params: { id: string };
  Querystring: { component?: string };
}

interface OneLog {
  Params: { id: string; component: string };
}

export function addLogRoutes(app: FastifyInstance, options: LogRoutesOptions): void {
  const { fleet, logs, askLogs } = options;
  const find = (id: string): RobotRecord => {
    const record = fleet.get(id);
    if (record) return record;
    throw new DroverError('NOT_FOUND', `find robot ${id.slice(0, 80)}: never heard of it`);
  };
  app.get<Asked>('/robots/:id/logs', async ({ params }) => {
    const { robot, state } = find(params.id);
    return {
      robot_id: robot,
      logs: logs.of(robot).map(({ head, receivedMs }) => ({
        ...head,
        received_at: instantText(receivedMs),
      })),
      kept: (state?.components ?? []).flatMap(({ name: component, failure_log: kept }) =>
        kept ? [{ component, ...kept, at: instantText(kept.at) }] : [],
      ),
    };
  });
  app.get<OneLog>('/robots/:id/logs/:component', async ({ params }, reply) => {
    const { robot } = find(params.id);
    const text = await logs.read(robot, params.component);
    if (text === null) {
      const what = `${robot}, ${params.component.slice(0, 64)}`;
      throw new DroverError('FAILURE_LOG_NONE', `read log of ${what}: it has not come here`);
    }
    return reply.type('text/plain; charset=utf-8').send(text);
  });
  app.post<Asked>('/robots/:id/logs', async (request) => {
    assertNotFromAPage(request);
    const { component } = request.query;
    const { robot, state, online } = find(request.params.id);
    const kept = (state?.components ?? []).filter(
      ({ name, failure_log: log }) => log && (component === undefined || component === name),
    );
    if (kept.length === 0) {
      const what = component === undefined ? robot : `${robot}, ${component.slice(0, 64)}`;
      const own = (state?.components ?? []).filter(({ name }) =>
        [undefined, name].includes(component),
      );
      throw noLog(`ask ${what} for its log`, own);
    }
    if (!online) {
      throw new DroverError('FAILURE_LOG_UNANSWERED', `ask ${robot} for its log: it is offline`);
    }
    await askLogs(robot, component ?? null);
    return { asked: robot, components: kept.map(({ name }) => name) };
  });
}
