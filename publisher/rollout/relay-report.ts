/**
 * Relays that say why their robots do not get what is announced, as `GET /relays` of a broker has
 * them: what a rollout waits for may stand on a full disk far away. Sans-I/O.
 */

import { z } from 'zod';
import { LIMITS } from '../../shared/base/limits.ts';
import { printable } from '../../shared/base/printable.ts';
import { parseDocument } from '../../shared/formats/schema.ts';
import type { RolloutAnswer } from './rollout-answer.ts';

const relaysSchema = z.object({
  relays: z.array(
    z.object({
      relay: z.string(),
      problem: z.object({ code: z.string(), message: z.string(), hint: z.string() }).nullable(),
    }),
  ),
});

export interface TroubledRelay {
  readonly relay: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

const KIND = {
  what: 'relays',
  schema: relaysSchema,
  bytesMax: LIMITS.apiAnswerBytesMax,
  code: 'JSON_INVALID',
} as const;

/** Only those with a problem. @throws DroverError JSON_INVALID */
export function parseRelays(bytes: Uint8Array): TroubledRelay[] {
  return parseDocument(KIND, bytes).relays.flatMap(({ relay, problem }) =>
    problem ? [{ relay, ...problem }] : [],
  );
}

export const isWaitingForRobots = ({ run }: RolloutAnswer): boolean => run?.waits_for === 'robots';

export function relayLines(relays: readonly TroubledRelay[]): string[] {
  return relays.flatMap(({ relay, code, message, hint }) => [
    `relay     ${say(relay)} brings its robots nothing: ${say(message)} (${say(code)})`,
    ...(hint === '' ? [] : [`  hint: ${say(hint)}`]),
  ]);
}

const say = (text: string): string => printable(text, LIMITS.relayProblemCharsMax);
