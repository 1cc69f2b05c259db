/** Refusals of the HTTP API as its callers read them. Sans-I/O. */

import { z } from 'zod';
import { DroverError, isErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';
import { parseStrictJson } from './strict-json.ts';

const MESSAGE_CHARS_MAX = 1_000;
const refusalSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().default('') }),
});

/** The refusal as it was thrown at the broker; BROKER_REFUSED for anything else. */
export function readApiRefusal(status: number, bytes: Uint8Array): DroverError {
  const refusal = readRefusal(bytes);
  if (refusal === null) {
    return new DroverError('BROKER_REFUSED', `call the API: HTTP status ${status}, not of Drover`);
  }
  const { code, message, hint } = refusal;
  const said = printable(message, MESSAGE_CHARS_MAX);
  // A newer broker may use a code that this program does not know.
  if (!isErrorCode(code)) return new DroverError('BROKER_REFUSED', `${said} [${printable(code)}]`);
  return new DroverError(code, said, hint === '' ? {} : { hint: printable(hint, 300) });
}

function readRefusal(bytes: Uint8Array): z.output<typeof refusalSchema>['error'] | null {
  try {
    const answer = parseStrictJson(bytes, 'refusal', LIMITS.apiAnswerBytesMax);
    const result = refusalSchema.safeParse(answer);
    return result.success ? result.data.error : null;
  } catch (error) {
    if (error instanceof DroverError) return null; // a page of a proxy in between
    throw error;
  }
}
