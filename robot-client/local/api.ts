/**
 * The robot's local API: HTTP over a Unix socket, for the application beside the agent and for
 * `drover-robot status`. It uses plain node:http with a table of eight routes and no framework,
 * because the memory of the agent is bounded by a promise.
 * The permissions of the socket (0660: the agent's user and group) decide who may connect. Requests
 * are not trusted: they are bounded, strictly parsed, and answered with a code.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { chmod, lstat, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { z } from 'zod';
import { CATALOGUE, type ErrorCode } from '../../shared/base/error-catalogue.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { diskError } from '../install/disk-error.ts';
import { isSickDisk } from '../install/root-claims.ts';
import { idSchema, parseDocument, versionSchema } from '../../shared/formats/schema.ts';

const deltaSchema = z.number().int().min(0).max(LIMITS.telemetryDeltaMax).default(0);
const telemetrySchema = z.strictObject({
  component: idSchema.optional(),
  tasks_completed: deltaSchema,
  tasks_failed: deltaSchema,
  crashes: deltaSchema,
});
const holdSchema = z
  .number()
  .int()
  .min(LIMITS.readyHoldMsMin / 1000)
  .max(LIMITS.readyHoldMsMax / 1000);
const readySchema = z
  .strictObject({
    ready: z.boolean().optional(),
    reason: z.string().max(200).optional(),
    hold_s: holdSchema.optional(),
    holder: idSchema.optional(),
    component: idSchema.optional(),
  })
  .refine(({ ready, hold_s }) => ready !== undefined || hold_s !== undefined, {
    ...{ path: ['ready'], message: 'want ready or hold_s' },
  })
  .refine(({ ready, hold_s }) => ready !== false || hold_s === undefined, {
    ...{ path: ['hold_s'], message: 'want no hold_s with ready false' },
  })
  .transform((said) => ({ ...said, ready: said.ready ?? true }));
const confirmSchema = z.strictObject({ component: idSchema.optional() });
const retrySchema = z.strictObject({ component: idSchema.optional() });
const goneSchema = z.strictObject({
  computers: z.array(idSchema).min(1).max(LIMITS.setMembersMax),
  /** False to see what would go on without them; nothing is done then. */
  for_good: z.boolean().default(false),
});
const unblockSchema = z.strictObject({ version: versionSchema, component: idSchema.optional() });

/** Counts since the last call, not totals. */
export type TelemetryDelta = z.output<typeof telemetrySchema>;
export type ReadyRequest = z.output<typeof readySchema>;
export type ConfirmRequest = z.output<typeof confirmSchema>;
export type RetryRequest = z.output<typeof retrySchema>;
export type UnblockRequest = z.output<typeof unblockSchema>;
export type GoneCall = z.output<typeof goneSchema>;

type Answer = object | Promise<object>;

/** The functions behind the routes; a DroverError that they throw becomes the answer. */
export interface LocalHandlers {
  status(): Answer;
  explain(): Answer;
  telemetry(delta: TelemetryDelta): Answer;
  ready(request: ReadyRequest): Answer;
  confirm(request: ConfirmRequest): Answer;
  retry(request: RetryRequest): Answer;
  unblock(request: UnblockRequest): Answer;
  gone(request: GoneCall): Answer;
}

export interface LocalApiOptions {
  readonly socketPath: string;
  readonly handlers: LocalHandlers;
  readonly log: Log;
}

interface Route {
  readonly method: 'GET' | 'POST';
  run(body: Uint8Array): Answer;
}

const SOCKET_MODE = 0o660;
const HTTP_STATUS: Partial<Record<ErrorCode, number>> = {
  DOCUMENT_TOO_LARGE: 413,
  JSON_INVALID: 400,
  LOCAL_API_INVALID: 400,
  NOT_FOUND: 404,
  INTERNAL: 500,
  ROBOT_STARTING: 503,
};
const REFUSED_STATUS = 409;

/** @throws DroverError ROBOT_ALREADY_RUNNING, SOCKET_UNUSABLE; of a sick disk DISK_… */
export async function startLocalApi(options: LocalApiOptions): Promise<{ close(): Promise<void> }> {
  const { socketPath, handlers, log } = options;
  assertSocketPath(socketPath);
  // Checked separately, since listening in a missing folder fails with "permission denied".
  await stat(dirname(socketPath)).catch((error: Error) => {
    throw unusable(socketPath, error);
  });
  await clearStaleSocket(socketPath);
  const server = makeServer(routesOf(handlers), log);
  await listen(server, socketPath);
  try {
    await chmod(socketPath, SOCKET_MODE);
  } catch (thrown) {
    await close(server);
    throw unusable(socketPath, thrown as Error);
  }
  return { close: () => close(server) };
}

/** @throws DroverError SOCKET_UNUSABLE for a path that no Unix socket can have */
export function assertSocketPath(socketPath: string): void {
  const bytes = Buffer.byteLength(socketPath);
  if (bytes <= LIMITS.socketPathBytesMax) return;
  const why = `path too long (got ${bytes} bytes, want <= ${LIMITS.socketPathBytesMax})`;
  throw new DroverError('SOCKET_UNUSABLE', `listen on ${socketPath}: ${why}`);
}

function routesOf(handlers: LocalHandlers): ReadonlyMap<string, Route> {
  const post = <S extends z.ZodType>(
    path: string,
    schema: S,
    run: (request: z.output<S>) => Answer,
  ): [string, Route] => {
    const kind = { what: `body of POST ${path}`, schema, code: 'LOCAL_API_INVALID' } as const;
    const bytesMax = LIMITS.localRequestBytesMax;
    return [
      path,
      { method: 'POST', run: (body) => run(parseDocument({ ...kind, bytesMax }, body)) },
    ];
  };
  return new Map<string, Route>([
    ['/status', { method: 'GET', run: () => handlers.status() }],
    ['/explain', { method: 'GET', run: () => handlers.explain() }],
    post('/telemetry', telemetrySchema, (delta) => handlers.telemetry(delta)),
    post('/ready', readySchema, (request) => handlers.ready(request)),
    post('/confirm', confirmSchema, (request) => handlers.confirm(request)),
    post('/retry', retrySchema, (request) => handlers.retry(request)),
    post('/unblock', unblockSchema, (request) => handlers.unblock(request)),
    post('/gone', goneSchema, (request) => handlers.gone(request)),
  ]);
}

function makeServer(routes: ReadonlyMap<string, Route>, log: Log): Server {
  const server = createServer(
    {
      maxHeaderSize: LIMITS.localHeaderBytesMax,
      headersTimeout: LIMITS.localRequestMs,
      requestTimeout: LIMITS.localRequestMs,
      keepAliveTimeout: LIMITS.localRequestMs,
      connectionsCheckingInterval: LIMITS.localRequestMs / 5,
    },
    (request, response) => {
      answer(routes, request, response, log).catch((error: unknown) => {
        // The caller left in the middle of its request: there is no reader for an answer.
        log.debug({ reason: String(error) }, 'local call ended early');
        response.destroy();
      });
    },
  );
  server.maxConnections = LIMITS.localConnectionsMax;
  return server;
}

async function answer(
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  const path = (request.url ?? '').split('?')[0] ?? '';
  const route = routes.get(path);
  if (!route) {
    const known = [...routes.keys()].join(' ');
    return refuse(
      response,
      new DroverError('NOT_FOUND', `local call: no such path, want ${known}`),
    );
  }
  if (request.method !== route.method) {
    response.setHeader('allow', route.method);
    const why = `wrong method (got ${request.method ?? 'none'}, want ${route.method})`;
    return refuse(response, new DroverError('LOCAL_API_INVALID', `call ${path}: ${why}`), 405);
  }
  try {
    const body = await readBody(request);
    send(response, 200, await route.run(body.byteLength === 0 ? EMPTY_OBJECT : body));
  } catch (thrown) {
    if (request.destroyed && !request.complete) throw thrown;
    if (!(thrown instanceof DroverError)) log.error({ path, err: thrown }, 'local call failed');
    refuse(response, thrown);
  }
}

/** `curl -X POST …/confirm` sends no body at all. */
const EMPTY_OBJECT = new TextEncoder().encode('{}');

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.byteLength;
    // A body that is too large is read to its end and dropped, so that the caller can read the
    // refusal; the time-out of a request bounds that.
    if (bytes <= LIMITS.localRequestBytesMax) pieces.push(piece);
  }
  if (bytes <= LIMITS.localRequestBytesMax) return Buffer.concat(pieces);
  throw new DroverError(
    'DOCUMENT_TOO_LARGE',
    `read local call: too large (got ${bytes} bytes, want at most ${LIMITS.localRequestBytesMax})`,
  );
}

function refuse(response: ServerResponse, thrown: unknown, status?: number): void {
  const known = thrown instanceof DroverError ? toProblem(thrown) : null;
  const { code, message, hint } = known ?? {
    code: 'INTERNAL',
    message: 'local call: failed inside the agent; its log says how',
    hint: CATALOGUE.INTERNAL.hint,
  };
  send(response, status ?? HTTP_STATUS[code] ?? REFUSED_STATUS, {
    error: { code, message, hint },
  });
}

function send(response: ServerResponse, status: number, body: object): void {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.byteLength,
  });
  response.end(bytes);
}

/** Removes the socket of a dead agent; never another kind of file, nor a living agent's socket. */
async function clearStaleSocket(socketPath: string): Promise<void> {
  const found = await lstat(socketPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw unusable(socketPath, error);
  });
  if (!found) return;
  if (!found.isSocket()) {
    throw unusable(socketPath, new Error('something that is not a socket stands there'));
  }
  if (await somebodyListens(socketPath)) {
    throw new DroverError(
      'ROBOT_ALREADY_RUNNING',
      `listen on ${socketPath}: another agent answers there`,
    );
  }
  await unlink(socketPath).catch((error: Error) => {
    throw unusable(socketPath, error);
  });
}

function somebodyListens(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', (error: NodeJS.ErrnoException) => {
      // A full queue, or a socket without the right to write, belongs to a living process.
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

/** A disk that is full, read-only or broken may be repaired; other failures are for the caller. */
function unusable(socketPath: string, cause: Error): DroverError {
  const ofDisk = diskError('listen on', socketPath, cause);
  if (isSickDisk(ofDisk)) return ofDisk;
  if (ofDisk.code === 'PERMISSION_DENIED') {
    const { message, hint } = ofDisk;
    return new DroverError('SOCKET_UNUSABLE', message, { hint, cause });
  }
  return new DroverError('SOCKET_UNUSABLE', `listen on ${socketPath}: ${cause.message}`, { cause });
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Also later ones, when a connection could not be accepted: its client notices that itself.
    server.on('error', (error) => reject(unusable(socketPath, error)));
    server.listen(socketPath, () => resolve());
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
