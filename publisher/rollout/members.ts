/**
 * Parses the robots of a rollout from the HTTP API, as untrusted input, and formats them for
 * people. Sans-I/O.
 */

import { z } from 'zod';
import { oneLine, printable } from '../../shared/base/printable.ts';
import { answerKind, parseDocument } from '../../shared/formats/schema.ts';
import { sameReason, type FailureGroup } from '../../shared/rules/failure-reasons.ts';
import { failureGroupsSchema } from './rollout-answer.ts';
import { formatTable } from './fleet-report.ts';

/** Filter of the API for robots that the open wave, or the way back, waits for. */
export const AWAITED = 'awaited';
/** Longest reason that is shown. */
const REASON_CHARS_MAX = 200;

const memberSchema = z.object({
  robot_id: z.string(),
  state: z.string(),
  wave: z.number().nullable(),
  awaited: z.boolean(),
  code: z.string(),
  reason: z.string(),
});
const membersSchema = z.object({
  robots: z.array(memberSchema),
  next: z.string().nullable(),
  counts: z.record(z.string(), z.number()),
  awaited: z.number(),
  waves: z.array(z.unknown()),
  failures: failureGroupsSchema,
});
export type MembersAnswer = z.output<typeof membersSchema>;

const KIND = answerKind('list of robots of a rollout', membersSchema);

/** @throws DroverError JSON_INVALID, DOCUMENT_TOO_LARGE */
export const parseMembers = (bytes: Uint8Array): MembersAnswer => parseDocument(KIND, bytes);

/** @param state the filter; null for all robots */
export function memberLines(
  answer: MembersAnswer,
  state: string | null,
  columns = Number.POSITIVE_INFINITY,
): string[] {
  const { robots } = answer;
  const summary = countLine(answer);
  if (robots.length === 0) {
    const none = state === AWAITED ? 'it waits for no robot' : 'no robot is like that';
    const failed = (answer.counts['failed'] ?? 0) + (answer.counts['went_back'] ?? 0);
    const more = state === AWAITED && failed > 0;
    return [`${none}; ${summary}${more ? ' (name them: --state failed,went_back)' : ''}`];
  }
  const rows = robots.map(({ robot_id: id, wave, state: standing, awaited, code, reason }) => [
    printable(id, 64),
    wave === null ? '-' : String(wave),
    awaited ? `${printable(standing, 20)}, awaited` : printable(standing, 20),
    printable(code, 64),
    oneLine(reason, REASON_CHARS_MAX),
  ]);
  const same = answer.failures.filter((one) => one.robots > 1).map(sharedLine);
  const head = ['ROBOT', 'WAVE', 'STATE', 'CODE', 'REASON'];
  return [...formatTable([head, ...rows], columns), ...same, summary];
}

function sharedLine(group: FailureGroup): string {
  const who = `${group.named.join(', ')}${group.robots > group.named.length ? ', …' : ''}`;
  return oneLine(`${sameReason([group])}: ${who}`, 2 * REASON_CHARS_MAX);
}

function countLine({ counts, awaited }: MembersAnswer): string {
  const parts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${printable(state, 20).replace('_', ' ')}`);
  const all = parts.length === 0 ? 'no robots' : parts.join(', ');
  return awaited > 0 ? `${all}; it waits for ${awaited}` : all;
}
