/**
 * Identifies the user of each HTTP request: by a bearer token, or by the cookie of a session that
 * began on the page. Browsers add a cookie to requests that the page did not make, so a request
 * with a cookie has to come from our own page, and one that changes something has to prove it.
 */

import type { FastifyRequest } from 'fastify';
import { timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { isLoopback } from '../../shared/base/broker-urls.ts';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { ENROL_PATH, RENEW_PATH, SITE_PATH } from '../../shared/formats/http-api.ts';
import type { Identity } from '../access/access.ts';
import type { Credentials } from '../access/credentials.ts';
import { PageSessions, type PageSession } from './page-sessions.ts';

/** The page sends the token of its session in it. */
export const CSRF_HEADER = 'x-drover-csrf';

/** A robot has no credential for HTTP: enrolment-routes.ts asks for its claim or its signature. */
const OPEN_ROUTES: readonly string[] = [
  ...[
    '/',
    '/page.js',
    '/page.css',
    '/page.svg',
    '/docs',
    '/page.docs.js',
    '/page.docs.css',
    '/healthz',
    '/openapi.json',
    '/user',
    '/sign-in',
    '/sign-out',
  ],
  SITE_PATH,
  ENROL_PATH,
  RENEW_PATH,
];
const READERS: readonly string[] = ['technician', 'publisher'];
/** The one route of the role `metrics`. */
const METRICS_ROUTE = '/metrics';
const READS: readonly string[] = ['GET', 'HEAD'];
const SECRET_SHAPE = /^[A-Za-z0-9_-]{43}$/;

export interface CallersOptions {
  readonly host: string;
  readonly credentials: Credentials | null;
  /** True where requests come over TLS. */
  readonly isTls: boolean;
}

export interface SessionOf {
  readonly secret: string;
  readonly session: PageSession;
}

export class Callers {
  readonly credentials: Credentials | null;
  readonly sessions = new PageSessions();
  readonly #host: string;
  readonly #isTls: boolean;

  constructor({ host, credentials, isTls }: CallersOptions) {
    this.#host = host;
    this.credentials = credentials;
    this.#isTls = isTls;
  }

  /** Null for a request without a valid token or session. */
  identify(request: FastifyRequest): Identity | null {
    if (request.headers.authorization === undefined) {
      return this.sessionOf(request)?.session.identity ?? null;
    }
    const token = /^Bearer ([A-Za-z0-9._~+/=-]{1,512})$/i.exec(request.headers.authorization)?.[1];
    return token === undefined ? null : (this.credentials?.authenticateToken(token) ?? null);
  }

  /** The session of the cookie; null for a request that another page caused. */
  sessionOf(request: FastifyRequest): SessionOf | null {
    const { credentials } = this;
    if (!credentials || isFromElsewhere(request)) return null;
    for (const secret of secretsOf(request.headers.cookie, this.cookieName(request))) {
      const session = this.sessions.find(secret, performance.now());
      if (session && credentials.isCurrent(session.identity)) return { secret, session };
    }
    return null;
  }

  /**
   * @throws DroverError HTTP_UNAUTHORIZED, ACCESS_DENIED
   */
  assertAllowed(request: FastifyRequest): void {
    const { credentials } = this;
    if (!credentials && isLoopback(this.#host)) assertLocalName(request);
    const path = request.url.split('?', 1)[0] ?? '';
    if (!credentials || OPEN_ROUTES.includes(path)) return;
    const identity = this.identify(request);
    if (identity?.kind !== 'user') {
      throw new DroverError(
        'HTTP_UNAUTHORIZED',
        `${request.method} ${path.slice(0, 80)}: no valid bearer token`,
      );
    }
    const mayScrape = identity.role === 'metrics' && path === METRICS_ROUTE;
    if (!READERS.includes(identity.role) && !mayScrape) {
      throw new DroverError(
        'ACCESS_DENIED',
        `${request.method} ${path.slice(0, 80)}: the role ${identity.role} may not`,
      );
    }
    if (!READS.includes(request.method)) this.assertOwnPage(request);
  }

  /**
   * A request with a session proves that our page made it: only that page can read the token.
   * @throws DroverError ACCESS_DENIED
   */
  assertOwnPage(request: FastifyRequest): void {
    if (request.headers.authorization !== undefined) return;
    const found = this.sessionOf(request);
    if (!found || isEqual(request.headers[CSRF_HEADER], found.session.csrf)) return;
    throw new DroverError(
      'ACCESS_DENIED',
      `change something: ${CSRF_HEADER} is not of this session`,
      {
        hint: 'load the page again; a program sends Authorization: Bearer TOKEN and no cookie',
      },
    );
  }

  /** False once the user of an open stream has signed out or lost its credential. */
  isStill(request: FastifyRequest, identity: Identity | null): boolean {
    const { credentials } = this;
    if (!credentials) return true;
    if (!identity || !credentials.isCurrent(identity)) return false;
    if (request.headers.authorization !== undefined) return true;
    const now = performance.now();
    return secretsOf(request.headers.cookie, this.cookieName(request)).some(
      (secret) => this.sessions.find(secret, now, false) !== null,
    );
  }

  /** Browsers share cookies between the ports of a host: each port has a name of its own. */
  cookieName({ socket }: { readonly socket: Pick<Socket, 'localPort'> }): string {
    return `${this.#isTls ? '__Host-' : ''}drover-${socket.localPort ?? 0}`;
  }

  /** The header that sets the cookie, or removes it when there is no secret. */
  cookie(request: FastifyRequest, secret: string | null): string {
    const ageS = secret === null ? 0 : Math.floor(LIMITS.pageSessionMs / 1000);
    const parts = [`${this.cookieName(request)}=${secret ?? ''}`, 'Path=/', `Max-Age=${ageS}`];
    const flags = ['HttpOnly', 'SameSite=Strict', ...(this.#isTls ? ['Secure'] : [])];
    return [...parts, ...flags].join('; ');
  }
}

/** A browser names the site of the page that caused the request; it adds cookies all the same. */
function isFromElsewhere({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site'];
  return site !== undefined && site !== 'same-origin' && site !== 'none';
}

/** Several cookies can have one name: other ports and paths of the host may have set some. */
function secretsOf(header: string | undefined, name: string): string[] {
  return (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1))
    .filter((secret) => SECRET_SHAPE.test(secret))
    .slice(0, 4);
}

function isEqual(got: string | string[] | undefined, want: string): boolean {
  if (typeof got !== 'string') return false;
  const [a, b] = [Buffer.from(got), Buffer.from(want)];
  return a.byteLength === b.byteLength && timingSafeEqual(a, b);
}

/**
 * Without credentials only the loopback address protects the API: a web page whose name points to
 * loopback (DNS rebinding) would send a Host of its own.
 */
function assertLocalName(request: FastifyRequest): void {
  if (isLoopback(request.hostname.replace(/^\[|\]$/g, ''))) return;
  throw new DroverError('ACCESS_DENIED', 'read the fleet: this Host is not a name of loopback', {
    hint: 'send a Host of loopback (localhost, 127.0.0.1 or [::1]), or give the broker --credentials',
  });
}
