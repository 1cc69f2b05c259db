/**
 * Reads from a broker what a final command would do now, in the words that the page shows as well,
 * for the question before it. A broker that cannot tell is no reason to refuse the command: the
 * question then has only the counts that are known here. Sans-I/O.
 */

import { z } from 'zod';
import { nullIfRefused } from '../../shared/base/errors.ts';
import { printable } from '../../shared/base/printable.ts';
import { answerKind, parseDocument } from '../../shared/formats/schema.ts';
import { brokenText } from '../../shared/rules/requires.ts';

const SENTENCE_CHARS_MAX = 400;

const brokenSchema = z.object({
  component: z.string(),
  version: z.string(),
  requires: z.object({ component: z.string(), range: z.string() }),
  robots: z.number().min(0),
});
const previewSchema = z.object({
  command: z.string(),
  /** Absent in the answer of a broker of 0.1. */
  breaks: z.array(brokenSchema).default([]),
});

const PREVIEWS = answerKind(
  'list of commands of a rollout',
  z.object({ commands: z.array(previewSchema) }),
);

/**
 * `app 3.0.0 stays on 3 robots without arm ^3.2, which it requires`: one sentence for each release.
 * @returns none when the answer cannot be read
 */
export function brokenLines(bytes: Uint8Array, command: string): string[] {
  const answer = nullIfRefused(() => parseDocument(PREVIEWS, bytes));
  const preview = answer?.commands.find((one) => one.command === command);
  return (preview?.breaks ?? []).map((one) => printable(brokenText(one), SENTENCE_CHARS_MAX));
}
