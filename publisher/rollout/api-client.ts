/**
 * Calls the HTTP API of a broker. Every call has a time-out and every answer a bound. A refusal of
 * the API is thrown here with the same code, message and hint. It follows no redirect: the token is
 * for the named broker.
 */

import { writeNote } from '../../shared/io/cli.ts';
import { DroverError, toProblem } from '../../shared/base/errors.ts';
import type { EpochMs } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { readApiRefusal } from '../../shared/formats/http-api.ts';
import { linkFailure } from '../../shared/io/link-failure.ts';
import { callWithAuthority, readAuthority, type ApiCall, type ApiReply } from './call-api.ts';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ApiOptions {
  /** http:// or https://, with or without a path prefix of the API. */
  readonly url: string;
  readonly token: string | null;
  /** PEM file of the authority that signed the certificate of the API. */
  readonly caFile?: string | undefined;
}

export interface DatedAnswer {
  /** HTTP status. */
  readonly status: number;
  readonly bytes: Uint8Array;
  /** The clock of the server in milliseconds, whole seconds; null when it sent none. */
  readonly atMs: EpochMs | null;
}

export class ApiClient {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  /** Null for the authorities of Node, and over plain HTTP. */
  readonly #ca: Buffer | null;

  /**
   * @param what the option of the address, for the message
   * @throws DroverError USAGE, FILE_UNREADABLE
   */
  constructor({ url, token, caFile }: ApiOptions, what = '--api') {
    this.#base = readBase(url, what);
    const isTls = this.#base.startsWith('https:');
    this.#ca = caFile === undefined || !isTls ? null : readAuthority(caFile);
    this.#headers = token === null ? {} : { authorization: `Bearer ${readToken(token)}` };
  }

  /** For messages: the fleet that a command is about. */
  get address(): string {
    return this.#base;
  }

  /**
   * @param bytesMax of the answer
   * @throws DroverError BROKER_UNREACHABLE, BROKER_REFUSED, DOCUMENT_TOO_LARGE, or the API's
   */
  get(path: string, bytesMax: number = LIMITS.apiAnswerBytesMax): Promise<Uint8Array> {
    return this.#call(path, { method: 'GET', headers: this.#headers }, bytesMax);
  }

  /** @throws DroverError as `get` */
  post(path: string, body: object): Promise<Uint8Array> {
    const headers = { ...this.#headers, 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    return this.#call(path, init, LIMITS.apiAnswerBytesMax);
  }

  /**
   * An answer of any status, with its date.
   * @throws DroverError BROKER_UNREACHABLE, DOCUMENT_TOO_LARGE
   */
  look(path: string): Promise<DatedAnswer> {
    const init = { method: 'GET', headers: this.#headers };
    return this.#ask(path, init, LIMITS.apiAnswerBytesMax);
  }

  async #call(path: string, init: Init, bytesMax: number): Promise<Uint8Array> {
    const { status, bytes } = await this.#ask(path, init, bytesMax);
    if (status >= 200 && status < 300) return bytes;
    throw asOfCommand(readApiRefusal(status, bytes));
  }

  async #ask(path: string, init: Init, bytesMax: number): Promise<DatedAnswer> {
    const signal = AbortSignal.timeout(LIMITS.apiAnswerMsMax);
    try {
      const call = { ...init, signal };
      const { status, date, body } =
        this.#ca === null
          ? await fetchApi(this.#base + path, call)
          : await callWithAuthority(new URL(this.#base + path), this.#ca, call);
      const bytes = await readBounded(body, bytesMax);
      const atMs = Date.parse(date ?? '');
      return { status, bytes, atMs: Number.isNaN(atMs) ? null : atMs };
    } catch (error) {
      if (error instanceof DroverError) throw error;
      throw unreachable(this.#base, error);
    }
  }
}

/** The API's own hint is for people who write requests; here a command wrote it. */
const asOfCommand = (refusal: DroverError): DroverError =>
  refusal.code !== 'USAGE'
    ? refusal
    : new DroverError('USAGE', refusal.message, {
        hint: 'run the command with --help; if its options are right, this broker is of another version than drover',
      });

type Init = Omit<ApiCall, 'signal'>;

async function fetchApi(url: string, call: ApiCall): Promise<ApiReply> {
  const response = await fetch(url, { ...call, redirect: 'error' });
  const { status, headers, body } = response;
  const none: AsyncIterable<Uint8Array> = new ReadableStream<Uint8Array>({
    start: (controller) => controller.close(),
  });
  return { status, date: headers.get('date'), body: body ?? none };
}

function readBase(text: string, what: string): string {
  const refuse = (why: string): never => {
    const got = JSON.stringify(text.replace(/\/\/[^/]*@/, '//…@').slice(0, 120));
    throw new DroverError('USAGE', `read ${what}: ${why} (got ${got}, want http://host:8080)`);
  };
  const url = URL.canParse(text) ? new URL(text) : refuse('not a URL');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') refuse('not an HTTP URL');
  if (url.username !== '' || url.password !== '') refuse('a URL is no place for a password');
  if (url.search !== '' || url.hash !== '') refuse('more than an address');
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/** Never shown in a message: it is a secret. */
function readToken(text: string): string {
  if (/^[A-Za-z0-9._~+/=-]{1,512}$/.test(text)) return text;
  throw new DroverError(
    'USAGE',
    'read token: not a bearer token (want one line of 1 to 512 chars)',
  );
}

async function readBounded(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.byteLength;
    if (bytes > bytesMax) {
      const want = `want at most ${bytesMax} bytes`;
      throw new DroverError('DOCUMENT_TOO_LARGE', `read answer of the API: too large (${want})`);
    }
    pieces.push(piece);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

/** fetch only says that it failed; the reason is in its cause. */
function unreachable(url: string, error: unknown): DroverError {
  const none = { isCertified: false, hasUser: false };
  const facts = { url, doing: 'call', ...none, program: 'drover' } as const;
  if (!(error instanceof Error)) return linkFailure({ message: String(error) }, facts);
  if (error.name === 'TimeoutError') {
    return linkFailure({ message: `no answer within ${LIMITS.apiAnswerMsMax / 1000} s` }, facts);
  }
  const { cause } = error;
  const inner = cause instanceof Error ? cause : error;
  return linkFailure(inner.message === '' && !('code' in inner) ? error : inner, facts);
}

/**
 * Sends a command to a controller that may have just started: it is repeated, within a bound, until
 * the rollout is led, and the operator sees what it waits for. Every command may be repeated.
 * @param makeBody called for each try: a signed body names what is asked at that moment
 * @throws DroverError as the API, and NOT_LED_YET when nothing leads within `commandWaitMs`
 */
export async function sayUntilLed(
  api: Pick<ApiClient, 'post'>,
  path: string,
  makeBody: () => Promise<object>,
  say: (line: string) => void = writeNote,
): Promise<Uint8Array> {
  const untilMs = performance.now() + LIMITS.commandWaitMs;
  for (let hasSaid = false; ; hasSaid = true) {
    try {
      return await api.post(path, await makeBody());
    } catch (error) {
      if (!isTooEarly(error) || performance.now() > untilMs) throw error;
      const most = LIMITS.commandWaitMs / 1000;
      if (!hasSaid) say(`${toProblem(error).message}; said again for at most ${most} s`);
    }
    await sleep(LIMITS.commandRetryMs);
  }
}

const isTooEarly = (error: unknown): boolean =>
  error instanceof DroverError && error.code === 'NOT_LED_YET';
