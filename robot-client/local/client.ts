/**
 * One call of the local API, for `drover-robot status`, `explain` and `unblock`. A refusal of the
 * agent is thrown here with the same code, message and hint.
 */

import { request } from 'node:http';
import { z } from 'zod';
import { DroverError, isErrorCode } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { collectBytes } from '../../shared/crypto/bytes.ts';
import { parseStrictJson, type JsonValue } from '../../shared/formats/strict-json.ts';

const refusalSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }),
});

/**
 * @returns the agent's answer
 * @throws DroverError ROBOT_NOT_RUNNING when no agent answers in time, ACCESS_DENIED when this user
 *   may not use the socket, or the agent's refusal
 */
export async function callLocalApi(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  body?: object,
): Promise<JsonValue> {
  const payload = body === undefined ? '' : JSON.stringify(body);
  const { status, bytes } = await exchange(socketPath, { method, path, payload });
  const answer = parseStrictJson(bytes, `answer of ${path}`, LIMITS.localResponseBytesMax);
  if (status === 200) return answer;
  const refusal = refusalSchema.safeParse(answer);
  if (refusal.success) {
    const { code, message, hint } = refusal.data.error;
    throw new DroverError(isErrorCode(code) ? code : 'INTERNAL', message, { hint });
  }
  throw new DroverError('INTERNAL', `call ${path}: the agent answered with HTTP status ${status}`);
}

function exchange(
  socketPath: string,
  call: { method: string; path: string; payload: string },
): Promise<{ status: number; bytes: Uint8Array }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const { method, path, payload } = call;
    const signal = AbortSignal.timeout(LIMITS.localAnswerMs);
    const outgoing = request({ socketPath, method, path, headers, agent: false, signal });
    const fail = (error: Error) => reject(failureOf(error, socketPath));
    outgoing.on('error', fail);
    outgoing.on('response', (incoming) => {
      const bounds = { bytesMax: LIMITS.localResponseBytesMax, what: 'answer of the agent' };
      collectBytes(incoming as AsyncIterable<Buffer>, bounds).then(
        (bytes) => resolve({ status: incoming.statusCode ?? 0, bytes }),
        (error: Error) => {
          outgoing.destroy();
          fail(error);
        },
      );
    });
    outgoing.end(payload);
  });
}

function failureOf(error: NodeJS.ErrnoException, socketPath: string): DroverError {
  if (error instanceof DroverError) return error;
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new DroverError('ACCESS_DENIED', `call the agent on ${socketPath}: permission denied`, {
      hint: 'run as the user of the agent, or join the group of its socket',
      cause: error,
    });
  }
  const why = ['ENOENT', 'ECONNREFUSED'].includes(error.code ?? '')
    ? 'nobody listens'
    : error.message;
  return new DroverError('ROBOT_NOT_RUNNING', `call the agent on ${socketPath}: ${why}`, {
    cause: error,
  });
}
