/**
 * The door of the leader for its members, on the robot's own network. It only carries: the bytes
 * that a member asks for, the orders of the fleet as they came, reports and events the other way.
 * Every request comes from a computer that has proved its identity (secure-link.ts).
 */

import { once } from 'node:events';
import { createServer } from 'node:https';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { DroverError, toProblem, type Problem } from '../../shared/base/errors.ts';
import { isSha256Hex, type Sha256Hex } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Log } from '../../shared/base/ports.ts';
import { SeldomLog } from '../../shared/base/seldom-log.ts';
import type { Pair } from './pair-file.ts';
import { RefusedComputers } from './refused-computers.ts';
import { serverSide, type Address } from './secure-link.ts';

/** The answers of the leader to each request. */
export interface DoorKeeper {
  /** @throws DroverError: the member gets the reason */
  takeReport(pair: Pair, body: Uint8Array): Promise<void>;
  /** @throws DroverError */
  takeEvent(pair: Pair, body: Uint8Array): Promise<void>;
  /** @throws DroverError */
  takeWant(pair: Pair, body: Uint8Array): Promise<void>;
  /** Waits for news, and no longer than `memberPollMs`; null for none. */
  newsFor(
    pair: Pair,
    asked: {
      readonly epoch: string;
      readonly after: number;
      readonly nextTrust: number;
      /** Start of the agent that asks; empty for an old one. */
      readonly me: string;
    },
    signal: AbortSignal,
  ): Promise<Uint8Array | null>;
  /** Its connection has ended before it got its answer. */
  lost(pair: Pair): void;
  chunk(hash: Sha256Hex): Promise<Uint8Array | null>;
}

interface Reply {
  readonly status: number;
  readonly body: Uint8Array;
}

/** The agent stays, and tries again by itself. */
const LISTEN_HINT =
  'see that this computer has the address of --members-listen; the agent tries again by itself';
const LISTEN_HINTS: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL:
    'see with ip addr that the network of the robot is up, or give --members-listen an address of this computer; the agent tries again by itself',
  EADDRINUSE:
    'stop the program that uses this port (ss -ltnp names it), or give --members-listen another one; the agent tries again by itself',
};

const OK: Reply = { status: 200, body: new Uint8Array() };
const NOT_FOUND: Reply = { status: 404, body: new Uint8Array() };

export class LeaderDoor {
  readonly #server: Server;
  readonly #memberOf: (socket: unknown) => Pair | null;
  readonly #keeper: DoorKeeper;
  readonly #log: Log;
  readonly #seldom: SeldomLog;
  readonly refused: RefusedComputers;
  #isClosed = false;
  /** Requests of each computer that are being answered. */
  readonly #running = new Map<string, number>();

  constructor(pairs: readonly Pair[], keeper: DoorKeeper, log: Log) {
    const names = pairs.map(({ computer }) => computer);
    this.refused = new RefusedComputers(names, log, Date.now);
    const { options, memberOf } = serverSide(pairs, (socket, name) => {
      this.refused.asked(socket, name);
    });
    this.#memberOf = memberOf;
    this.#keeper = keeper;
    this.#log = log;
    this.#seldom = new SeldomLog(log, LIMITS.memberRefusedLogMs, () => performance.now());
    this.#server = createServer(
      { ...options, requestTimeout: LIMITS.memberAnswerMs, headersTimeout: LIMITS.memberAnswerMs },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => {
          this.#log.debug({ error: String(error) }, 'a computer of this robot was not answered');
          response.destroy();
        });
      },
    );
    this.#server.maxConnections = LIMITS.memberRequestsMax * (pairs.length + 1);
    this.#server.on('tlsClientError', (error, socket) => {
      this.refused.refused(socket, error.message);
    });
    this.#server.on('error', ({ message }) => {
      log.debug({ error: message }, 'the door for the computers of this robot');
    });
  }

  /** Where members reach it; 0 until it is open. */
  get port(): number {
    const at = this.#server.address();
    return typeof at === 'object' && at !== null ? at.port : 0;
  }

  /** Does nothing once it is open, or was closed. @returns why it cannot be opened now, or null */
  async open({ host, port }: Address): Promise<Problem | null> {
    if (this.#server.listening || this.#isClosed) return null;
    try {
      const opened = once(this.#server, 'listening'); // rejects with the error of the server
      this.#server.listen(port, host);
      await opened;
      return null;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `listen for the computers of this robot on ${host}:${port}: ${why}`;
      const hint = LISTEN_HINTS[(cause as NodeJS.ErrnoException).code ?? ''] ?? LISTEN_HINT;
      return toProblem(new DroverError('LISTEN_FAILED', message, { cause, hint }));
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pair = this.#memberOf(request.socket);
    if (!pair) return void response.destroy();
    const running = this.#running.get(pair.computer) ?? 0;
    response.on('close', () => void (response.writableFinished || this.#keeper.lost(pair)));
    this.#running.set(pair.computer, running + 1);
    try {
      const isTooMany = running >= LIMITS.memberRequestsMax;
      const reply = isTooMany ? { status: 429, body: OK.body } : await this.#reply(pair, request);
      response.writeHead(reply.status, { 'content-length': reply.body.byteLength });
      response.end(reply.body);
    } finally {
      this.#running.set(pair.computer, (this.#running.get(pair.computer) ?? 1) - 1);
    }
  }

  async #reply(pair: Pair, request: IncomingMessage): Promise<Reply> {
    try {
      return await this.#route(pair, request);
    } catch (thrown) {
      const problem = toProblem(thrown);
      const facts = { computer: pair.computer, problem };
      // A member sends again with each answer to its question for news.
      const kind = `${pair.computer} ${problem.code}`;
      this.#seldom.warn(kind, facts, 'a computer of this robot was refused');
      return { status: 400, body: new TextEncoder().encode(JSON.stringify(problem)) };
    }
  }

  async #route(pair: Pair, request: IncomingMessage): Promise<Reply> {
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'https://leader');
    const [, what, hash = ''] = pathname.split('/');
    if (request.method === 'GET' && what === 'chunks' && isSha256Hex(hash)) {
      const bytes = await this.#keeper.chunk(hash);
      return bytes ? { status: 200, body: bytes } : NOT_FOUND;
    }
    if (request.method === 'GET' && what === 'news') {
      const number = (name: string): number => Math.trunc(Number(query.get(name))) || 0;
      const asked = { after: number('after'), nextTrust: number('trust') };
      const gone = new AbortController();
      request.on('close', () => gone.abort());
      const [epoch, me] = [query.get('epoch') ?? '', (query.get('me') ?? '').slice(0, 16)];
      const body = await this.#keeper.newsFor(pair, { ...asked, epoch, me }, gone.signal);
      return body ? { status: 200, body } : { status: 204, body: OK.body };
    }
    if (request.method !== 'POST') return NOT_FOUND;
    const body = await bodyOf(request);
    if (what === 'report') await this.#keeper.takeReport(pair, body);
    else if (what === 'events') await this.#keeper.takeEvent(pair, body);
    else if (what === 'want') await this.#keeper.takeWant(pair, body);
    else return NOT_FOUND;
    return OK;
  }
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request) {
    pieces.push(piece as Buffer);
    bytes += (piece as Buffer).byteLength;
    if (bytes <= LIMITS.memberBodyBytesMax) continue;
    throw new DroverError('DOCUMENT_TOO_LARGE', 'read message of a member: it is too long');
  }
  return Buffer.concat(pieces);
}
