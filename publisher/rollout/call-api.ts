/**
 * One HTTP request to the API of a broker whose certificate an authority of one's own has signed
 * (`--ca`). The `fetch` of Node takes no authority of a single request. It follows no redirect.
 */

import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { DroverError } from '../../shared/base/errors.ts';

export interface ApiCall {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** As `fetch` answers, as far as the client reads it. */
export interface ApiReply {
  readonly status: number;
  readonly date: string | null;
  readonly body: AsyncIterable<Uint8Array>;
}

/** @throws DroverError FILE_UNREADABLE */
export function readAuthority(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DroverError('FILE_UNREADABLE', `read --ca: ${why}`, { cause });
  }
}

/** Rejects with the error of Node when there is no answer. */
export async function callWithAuthority(url: URL, ca: Buffer, call: ApiCall): Promise<ApiReply> {
  const { method, headers, body = '', signal } = call;
  const bytes = Buffer.from(body);
  const length = body === '' ? {} : { 'content-length': bytes.byteLength };
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = {
      method,
      headers: { ...headers, ...length },
      signal,
      ca,
      agent: false as const,
    };
    const sent = request(url, options, resolve);
    sent.on('error', reject);
    sent.end(bytes);
  });
  const status = answer.statusCode ?? 0;
  return { status, date: answer.headers.date ?? null, body: answer as AsyncIterable<Buffer> };
}
