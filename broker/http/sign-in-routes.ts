/**
 * Routes by which a person signs in on the page and out of it: with a user name and a password or
 * token, or with a token alone. The answer sets a cookie that no script can read.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import { utf8 } from '../../shared/crypto/bytes.ts';
import { parseDocument } from '../../shared/formats/schema.ts';
import type { Credentials } from '../access/credentials.ts';
import type { Callers } from './callers.ts';
import type { PageSession, UserIdentity } from './page-sessions.ts';
import { assertNotFromAPage } from './rollout-routes.ts';
import { signInSchema } from './route-schemas.ts';
import { SignInLimiter } from './sign-in-limiter.ts';
import { REQUEST_HINT } from './http-refusals.ts';

const BODY = {
  what: 'body of sign-in',
  schema: signInSchema,
  bytesMax: LIMITS.localRequestBytesMax,
  code: 'USAGE',
} as const;

const MAY_SIGN_IN: readonly string[] = ['technician', 'publisher'];
const newSecret = (): string => randomBytes(32).toString('base64url');

/** @param onSignOut ends what the session has open */
export function addSignInRoutes(
  app: FastifyInstance,
  callers: Callers,
  { log, onSignOut }: { readonly log: Log; onSignOut(): void },
): void {
  const seldom = new SeldomLog(log, LIMITS.refusalLogMs, () => performance.now());
  const limiter = new SignInLimiter();
  const show = (identity: UserIdentity | null, session: PageSession | null): object => ({
    user: identity?.username ?? null,
    role: identity?.role ?? null,
    approval_key: identity?.approvalKey ?? null,
    needs_sign_in: callers.credentials !== null,
    csrf: session?.csrf ?? null,
    expires_in_s: session && Math.max(0, Math.floor((session.endsAtMs - performance.now()) / 1000)),
  });
  app.get('/user', async (request) => {
    const session = callers.sessionOf(request)?.session ?? null;
    const identity = callers.identify(request);
    return show(identity?.kind === 'user' ? identity : null, session);
  });
  app.post('/sign-in', async (request, reply) => {
    assertNotFromAPage(request);
    const { credentials, sessions } = callers;
    if (!credentials) {
      throw new DroverError('USAGE', 'sign in: this broker has no users, everybody here may read', {
        hint: REQUEST_HINT,
      });
    }
    const from = request.socket.remoteAddress ?? 'unknown';
    const identity = await authenticate(request, credentials, limiter).catch((error: unknown) => {
      // Neither the name nor the secret: a person may have typed one in the place of the other.
      const { code } = toProblem(error);
      seldom.warn(code, { code, from }, 'sign-in refused');
      throw error;
    });
    log.info({ user: identity.username, role: identity.role, from }, 'signed in on the page');
    const before = callers.sessionOf(request);
    if (before) sessions.end(before.secret);
    const secret = newSecret();
    const now = performance.now();
    const session = sessions.open(identity, { secret, csrf: newSecret(), now });
    void reply.header('set-cookie', callers.cookie(request, secret));
    return show(identity, session);
  });
  app.post('/sign-out', async (request, reply) => {
    assertNotFromAPage(request);
    callers.assertOwnPage(request);
    const found = callers.sessionOf(request);
    if (found) callers.sessions.end(found.secret);
    onSignOut();
    void reply.header('set-cookie', callers.cookie(request, null));
    return { signed_out: found !== null };
  });
}

/** @throws DroverError SIGN_IN_LIMITED, SIGN_IN_REFUSED, ACCESS_DENIED, CONNECTIONS_FULL, USAGE */
async function authenticate(
  request: FastifyRequest,
  credentials: Credentials,
  limiter: SignInLimiter,
): Promise<UserIdentity> {
  const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
  const { username, secret } = readBody(body);
  const address = request.socket.remoteAddress ?? '';
  const waitMs = limiter.take(address, username, performance.now());
  if (waitMs > 0) {
    const waitS = Math.ceil(waitMs / 1000);
    throw new DroverError('SIGN_IN_LIMITED', `sign in: too many wrong attempts, wait ${waitS} s`);
  }
  let identity;
  try {
    identity =
      username === ''
        ? credentials.authenticateToken(secret)
        : await credentials.authenticate(username, utf8(secret));
  } catch (error) {
    limiter.giveBack(address, username); // nothing was checked
    throw error;
  }
  if (identity?.kind !== 'user') {
    const what = username === '' ? 'no user has this token' : 'user name or password is wrong';
    throw new DroverError('SIGN_IN_REFUSED', `sign in: ${what}`);
  }
  limiter.giveBack(address, username);
  if (MAY_SIGN_IN.includes(identity.role)) return identity;
  throw new DroverError('ACCESS_DENIED', `sign in: the role ${identity.role} may not`);
}

/** Its message must not quote the body, which has a secret in it. */
function readBody(bytes: Uint8Array): z.output<typeof BODY.schema> {
  try {
    return parseDocument(BODY, bytes);
  } catch (cause) {
    if (!(cause instanceof DroverError)) throw cause;
    throw new DroverError('USAGE', 'sign in: want {"username", "secret"} as JSON', {
      hint: REQUEST_HINT,
    });
  }
}
