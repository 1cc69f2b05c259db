/**
 * Sends one message to a webhook, signed as Standard Webhooks has it
 * (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body. It follows no redirect,
 * reads no answer beyond its status, and ends within a time.
 */

import { createHmac } from 'node:crypto';
import { request as requestPlain, type IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { base64ToBytes } from '../../shared/crypto/bytes.ts';
import type { Answer, Message } from './delivery-queue.ts';

export interface WebhookTarget {
  readonly url: URL;
  readonly secret: Uint8Array;
  /** Authorities in PEM; null for those of Node. */
  readonly ca: Buffer | null;
}

const SECRET_PREFIX = 'whsec_';

/**
 * @param text `whsec_` and base64, as Standard Webhooks writes a secret
 * @throws DroverError USAGE; it never repeats the text
 */
export function parseWebhookSecret(text: string): Uint8Array {
  const bytes = text.startsWith(SECRET_PREFIX)
    ? base64ToBytes(text.slice(SECRET_PREFIX.length))
    : null;
  const [least, most] = [LIMITS.webhookSecretBytesMin, LIMITS.webhookSecretBytesMax];
  if (bytes && bytes.byteLength >= least && bytes.byteLength <= most) return bytes;
  const want = `want whsec_ and base64 of ${least} to ${most} bytes`;
  throw new DroverError('USAGE', `read --webhook-secret-file: not a secret (${want})`, {
    hint: 'echo "whsec_$(openssl rand -base64 32)" > webhook.secret makes one',
  });
}

/** @throws DroverError USAGE; it never repeats the text, which may have a secret in it */
export function parseWebhookUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
  throw new DroverError('USAGE', 'read --webhook: not an HTTP URL (want https://host/path)');
}

/** A URL without what may be secret: many receivers know their caller by the path or the query. */
export const shownUrl = ({ origin, pathname, search }: URL): string =>
  pathname === '/' && search === '' ? origin : `${origin}/…`;

/** @param timestampS seconds since 1970 */
export function signMessage(
  { id, body }: Pick<Message, 'id' | 'body'>,
  timestampS: number,
  secret: Uint8Array,
): string {
  const mac = createHmac('sha256', secret).update(`${id}.${timestampS}.${body}`);
  return `v1,${mac.digest('base64')}`;
}

export interface PostOptions {
  readonly timestampS: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Never rejects: a failure is an answer. */
export async function postMessage(
  { url, secret, ca }: WebhookTarget,
  message: Message,
  { timestampS, timeoutMs, signal }: PostOptions,
): Promise<Answer> {
  const bytes = Buffer.from(message.body);
  const options = {
    method: 'POST',
    agent: false as const,
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    ...(ca && { ca }),
    headers: {
      'content-type': 'application/json',
      'content-length': bytes.byteLength,
      'user-agent': 'drover-broker',
      'webhook-id': message.id,
      'webhook-timestamp': String(timestampS),
      'webhook-signature': signMessage(message, timestampS, secret),
    },
  };
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = url.protocol === 'https:' ? requestTls : requestPlain;
      const sent = request(url, options, resolve);
      sent.on('error', reject);
      sent.end(bytes);
    });
    const status = response.statusCode ?? 0;
    response.on('error', () => undefined); // its body is not read
    response.destroy();
    return { status };
  } catch (error) {
    return { failure: failureText(error, timeoutMs) };
  }
}

function failureText(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return printable(String(error));
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ABORT_ERR') return `no answer within ${timeoutMs / 1000} s`;
  return printable(error.message === '' ? (code ?? 'failed') : error.message, 200);
}
