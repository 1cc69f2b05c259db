/**
 * Routes of the enrolment: a robot asks with its claim, or with the certificate that it renews;
 * people see who asks, and say yes or no. Robots have no credential for HTTP, so these routes are
 * open; the claim, or a signature by the key of the certificate, is their right to call them.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import {
  ENROL_PATH,
  parseEnrolRequest,
  parseRenewRequest,
  RENEW_PATH,
} from '../../shared/formats/http-api.ts';
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
  const bodyOf = (request: FastifyRequest): Uint8Array => {
    assertNotFromAPage(request);
    if (!isPrivate) {
      throw new DroverError('ENROLMENT_OFF', 'enrol: a claim must not cross a network in clear');
    }
    return request.body instanceof Uint8Array ? request.body : new Uint8Array();
  };
  const from = ({ socket }: FastifyRequest): string => socket.remoteAddress ?? 'unknown';
  app.post(ENROL_PATH, async (request, reply) => {
    const asked = parseEnrolRequest(bodyOf(request));
    const answer = await enrolment.claim(asked, from(request));
    void reply.code(answer.status === 'enrolled' ? 200 : 202);
    return answer;
  });
  app.post(RENEW_PATH, async (request) =>
    enrolment.renew(parseRenewRequest(bodyOf(request)), from(request)),
  );
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
