/**
 * Says why robots do not get an announcement: relays, as `GET /relays` of a broker lists them, and
 * its external engine (`GET /engine`). A rollout may wait for a full disk far away, and an engine
 * that drops messages looks like an idle one. Sans-I/O.
 */

import { z } from 'zod';
import { LIMITS } from '../../shared/base/limits.ts';
import { oneLine } from '../../shared/base/printable.ts';
import { answerKind, parseDocument } from '../../shared/formats/schema.ts';
import type { RolloutAnswer } from './rollout-answer.ts';

const problemSchema = z.object({ code: z.string(), message: z.string(), hint: z.string() });

const relaysSchema = z.object({
  relays: z.array(
    z.object({
      relay: z.string(),
      problem: problemSchema.nullable(),
    }),
  ),
});

export interface TroubledRelay {
  readonly relay: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

const KIND = answerKind('relays', relaysSchema);

/** Only those with a problem. @throws DroverError JSON_INVALID */
export function parseRelays(bytes: Uint8Array): TroubledRelay[] {
  return parseDocument(KIND, bytes).relays.flatMap(({ relay, problem }) =>
    problem ? [{ relay, ...problem }] : [],
  );
}

const ENGINE = answerKind(
  'engine',
  z.object({ engine: z.object({ problem: problemSchema.nullish() }) }),
);

export type EngineProblem = z.output<typeof problemSchema>;

/** Null for an engine without a problem. @throws DroverError JSON_INVALID */
export const parseEngineProblem = (bytes: Uint8Array): EngineProblem | null =>
  parseDocument(ENGINE, bytes).engine.problem ?? null;

export function engineLines(problem: EngineProblem | null): string[] {
  if (problem === null) return [];
  const { code, message, hint } = problem;
  return [
    `engine    needs a person, so this may not be all: ${say(message)} (${say(code)})`,
    ...(hint === '' ? [] : [`  hint: ${say(hint)}`]),
  ];
}

export const isWaitingForRobots = ({ run }: RolloutAnswer): boolean => run?.waits_for === 'robots';

export function relayLines(relays: readonly TroubledRelay[]): string[] {
  return relays.flatMap(({ relay, code, message, hint }) => [
    `relay     ${say(relay)} brings its robots nothing: ${say(message)} (${say(code)})`,
    ...(hint === '' ? [] : [`  hint: ${say(hint)}`]),
  ]);
}

const say = (text: string): string => oneLine(text, LIMITS.relayProblemCharsMax);
