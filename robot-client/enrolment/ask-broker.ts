/**
 * Asks the HTTP API of a broker to enrol this robot, or to renew its certificate. The answer is not
 * trusted: it has a bound and a time-out, and no redirect is followed, since the claim is for the
 * named broker.
 */

import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { collectBytes } from '../../shared/crypto/bytes.ts';
import {
  ENROL_PATH,
  parseEnrolAnswer,
  parseRenewAnswer,
  readApiRefusal,
  RENEW_PATH,
  type EnrolAnswer,
  type EnrolAsk,
  type RenewAnswer,
  type RenewRequest,
} from '../../shared/formats/http-api.ts';
import { linkFailure } from '../../shared/io/link-failure.ts';

const LOOPBACK: readonly string[] = ['127.0.0.1', '[::1]', 'localhost'];

export interface BrokerDoor {
  readonly url: URL;
  /** PEM of the authority of the broker's certificate; undefined: those of the system. */
  readonly ca: Buffer | undefined;
}

/** @throws DroverError USAGE, FILE_UNREADABLE */
export function readDoor(text: string, caFile: string | undefined): BrokerDoor {
  const refuse = (why: string): never => {
    throw new DroverError('USAGE', `read --broker: ${why} (want https://broker.example:8443)`);
  };
  const url = URL.canParse(text) ? new URL(text) : refuse('not a URL');
  const isPlain = url.protocol === 'http:';
  if (!isPlain && url.protocol !== 'https:') refuse('the HTTP port of the broker is asked');
  if (url.username !== '' || url.password !== '') refuse('a URL is no place for a password');
  if (isPlain && !LOOPBACK.includes(url.hostname))
    refuse('the claim would cross a network in clear');
  return { url, ca: caFile === undefined ? undefined : readAuthority(caFile) };
}

function readAuthority(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read --ca: ${why}`, { cause });
  }
}

/**
 * @throws DroverError BROKER_UNREACHABLE, BROKER_REFUSED, DOCUMENT_TOO_LARGE, JSON_INVALID, or what
 *   the broker refuses with
 */
export async function askToEnrol(door: BrokerDoor, asked: EnrolAsk): Promise<EnrolAnswer> {
  return parseEnrolAnswer(await call(door, ENROL_PATH, asked));
}

/** @throws DroverError as `askToEnrol` */
export async function askToRenew(door: BrokerDoor, asked: RenewRequest): Promise<RenewAnswer> {
  return parseRenewAnswer(await call(door, RENEW_PATH, asked));
}

async function call({ url, ca }: BrokerDoor, path: string, asked: object): Promise<Uint8Array> {
  const target = new URL(`${url.pathname.replace(/\/+$/, '')}${path}`, url.origin);
  const { status, bytes } = await post(target, ca, JSON.stringify(asked)).catch(
    (cause: unknown) => {
      if (cause instanceof DroverError) throw cause;
      throw unreachable(url, cause as NodeJS.ErrnoException);
    },
  );
  if (status === 200 || status === 202) return bytes;
  throw readApiRefusal(status, bytes);
}

async function post(
  target: URL,
  ca: Buffer | undefined,
  body: string,
): Promise<{ status: number; bytes: Uint8Array }> {
  const signal = AbortSignal.timeout(LIMITS.apiAnswerMsMax);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const options = { method: 'POST', headers, signal, agent: false as const };
    const call =
      target.protocol === 'https:'
        ? httpsRequest(target, { ...options, ...(ca && { ca }) }, resolve)
        : httpRequest(target, options, resolve);
    call.on('error', reject);
    call.end(body);
  });
  const bounds = { bytesMax: LIMITS.localRequestBytesMax, what: 'the answer' };
  const bytes = await collectBytes(answer as AsyncIterable<Buffer>, bounds);
  return { status: answer.statusCode ?? 0, bytes };
}

function unreachable(url: URL, cause: NodeJS.ErrnoException): DroverError {
  const none = { isCertified: false, hasUser: false };
  const facts = { url: url.origin, doing: 'ask', ...none, program: 'robot' } as const;
  const isLate = cause.name === 'TimeoutError' || cause.name === 'AbortError';
  const message = `no answer within ${LIMITS.apiAnswerMsMax / 1000} s`;
  return linkFailure(isLate ? { message } : cause, facts);
}
