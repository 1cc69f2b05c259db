/**
 * Refusals over HTTP: each has the status of its code and the shape that docs/http.md promises,
 * also those before any of our handlers (a broken request head, an invalid URL).
 */

import type { FastifyReply } from 'fastify';
import type { Socket } from 'node:net';
import { CATALOGUE, type ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import type { Log } from '../../shared/base/ports.ts';

/** On every answer; the page has a policy of its own. */
export const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

const STATUS: Partial<Record<ErrorCode, number>> = {
  HTTP_UNAUTHORIZED: 401,
  SIGN_IN_REFUSED: 401,
  SIGN_IN_LIMITED: 429,
  ACCESS_DENIED: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  NO_CONTROLLER: 409,
  NOT_LEADING: 409,
  NOT_LED_YET: 409,
  ROBOT_ONLINE: 409,
  ROLLOUT_FINAL: 409,
  APPROVAL_TOO_EARLY: 409,
  APPROVER_IS_PUBLISHER: 403,
  APPROVER_UNKNOWN: 403,
  APPROVAL_UNSIGNED: 403,
  APPROVAL_KEY_WRONG: 403,
  APPROVAL_INVALID: 422,
  APPROVAL_OF_ANOTHER: 409,
  APPROVAL_CLOCK: 409,
  CLAIM_UNKNOWN: 404,
  CLAIM_USED: 409,
  CLAIM_EXPIRED: 410,
  CLAIM_REVOKED: 410,
  CLAIM_KEY_TAKEN: 409,
  CLAIM_TRIES: 429,
  ENROLMENT_OFF: 409,
  ROBOT_NAME_TAKEN: 409,
  ROLLOUT_COMMAND_INVALID: 422,
  BROKER_UNREACHABLE: 503,
  CONNECTIONS_FULL: 503,
  // The disk of the broker, and no fault of the request: the same one succeeds later.
  DISK_FULL: 507,
  STORE_FULL: 507,
  DISK_READ_ONLY: 503,
  DISK_WRITE_FAILED: 503,
  ATTACHMENT_MISMATCH: 500,
  INTERNAL: 500,
};
/** A code that is not in the table gets 400: the caller has to change the request. */
export const httpStatusOf = (code: ErrorCode): number => STATUS[code] ?? 400;

export const JSON_HINT =
  "send JSON and say so: curl -X POST -H 'content-type: application/json' -d '{}' URL";
export const REQUEST_HINT = 'mend the request: docs/http.md lists the routes and what they take';

/** The hints of these codes are for a command line; here it was a request. */
const SPOKEN_TO_A_SHELL: readonly ErrorCode[] = ['USAGE', 'JSON_INVALID', 'DOCUMENT_TOO_LARGE'];

export const httpHintOf = (code: ErrorCode): string =>
  SPOKEN_TO_A_SHELL.includes(code) ? REQUEST_HINT : CATALOGUE[code].hint;

function withHint(problem: Problem): Problem {
  const code = problem.code;
  const isCatalogued = code in CATALOGUE && problem.hint === CATALOGUE[code].hint;
  return isCatalogued ? { ...problem, hint: httpHintOf(code) } : problem;
}

export function sendProblem(reply: FastifyReply, thrown: unknown, log: Log): void {
  const { statusCode } = thrown as { statusCode?: number };
  const isClients =
    !(thrown instanceof DroverError) && statusCode !== undefined && statusCode < 500;
  const problem = isClients
    ? usage((thrown as Error).message, statusCode === 415 ? JSON_HINT : REQUEST_HINT)
    : withHint(toProblem(thrown));
  if (problem.code === 'INTERNAL') log.error({ error: String(thrown) }, 'request failed');
  if (problem.code === 'HTTP_UNAUTHORIZED') void reply.header('www-authenticate', 'Bearer');
  const status = isClients ? statusCode : httpStatusOf(problem.code);
  void reply.code(status).headers(SECURITY_HEADERS).send({ error: problem });
}

const usage = (message: string, hint: string): Problem => ({ code: 'USAGE', message, hint });

/** Codes of Node for bytes that it cannot parse as a request. */
const BROKEN: Readonly<Record<string, readonly [status: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'its URL or headers are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'it did not come whole in time'],
};

/**
 * There is no request and so no reply: the answer is written to the socket, which is then closed.
 */
export function refuseBroken({ code }: NodeJS.ErrnoException, socket: Socket): void {
  if (code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const [status, why] = BROKEN[code ?? ''] ?? ['400 Bad Request', 'it is not HTTP'];
  const body = JSON.stringify({ error: usage(`take request: ${why}`, REQUEST_HINT) });
  const headers = {
    ...SECURITY_HEADERS,
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy());
}
