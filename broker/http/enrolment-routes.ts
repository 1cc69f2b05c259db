/**
 * Routes of the enrolment: a robot asks with its claim, people see who asks, and say yes or no. A
 * robot has no credential yet, so its route is open; its claim is its right to call it.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { ENROL_PATH, parseEnrolRequest } from '../../shared/formats/http-api.ts';
import { nameOf, type Identity } from '../access/access.ts';
import type { EnrolmentPort } from '../enrolment/enrolment.ts';
import { assertNotFromAPage, assertPublisher } from './rollout-routes.ts';

interface ById {
  Params: { id: string };
}

interface EnrolmentRoutesOptions {
  /** False for plain HTTP that others could read. */
  readonly isPrivate: boolean;
  /** False for a robot that never reported here, or was retired since. */
  isReported(robot: RobotId): boolean;
  identify(request: FastifyRequest): Identity;
}

export function addEnrolmentRoutes(
  app: FastifyInstance,
  enrolment: EnrolmentPort,
  { isPrivate, isReported, identify }: EnrolmentRoutesOptions,
): void {
  app.post(ENROL_PATH, async (request, reply) => {
    assertNotFromAPage(request);
    if (!isPrivate) {
      throw new DroverError('ENROLMENT_OFF', 'enrol: a claim must not cross a network in clear');
    }
    const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
    const asked = parseEnrolRequest(body);
    const answer = await enrolment.claim(asked, request.socket.remoteAddress ?? 'unknown');
    void reply.code(answer.status === 'enrolled' ? 200 : 202);
    return answer;
  });
  app.get('/enrolments', async () => ({
    enrolments: enrolment.list().map((one) => ({ ...one, reported: isReported(one.robot_id) })),
  }));
  for (const command of ['accept', 'refuse', 'revoke'] as const) {
    app.post<ById>(`/enrolments/:id/${command}`, async (request) => {
      assertNotFromAPage(request);
      const identity = identify(request);
      assertPublisher(identity, `${command} an enrolment`);
      const { id } = request.params;
      await enrolment[command](id, nameOf(identity));
      return { enrolment: enrolment.list().find((one) => one.robot_id === id) ?? null };
    });
  }
}
