/**
 * Asks a person to type a word before something that cannot be undone. Silence, a closed terminal
 * or a pipe never count as a yes.
 */

import { createInterface } from 'node:readline/promises';
import { DroverError } from '../../shared/base/errors.ts';
import { shown } from '../../shared/base/printable.ts';

export interface Confirmation {
  /** Verb for messages: `publish`. */
  readonly verb: string;
  /** The effect, as a sentence without its full stop. */
  readonly what: string;
  /** The word to type, and its name: `version`. */
  readonly word: string;
  readonly wordIs: string;
}

/**
 * @param isSure true when `--yes` was given
 * @throws DroverError USAGE unless it was confirmed
 */
export async function confirmTyped(asked: Confirmation, isSure: boolean): Promise<void> {
  if (isSure) return;
  assertTerminal(asked, isSure);
  const question = `${asked.what}.\nType the ${asked.wordIs} to go on: `;
  const answer = await ask(question);
  if (answer?.trim() === asked.word) return;
  throw new DroverError('USAGE', `${asked.verb}: not confirmed (want ${asked.word} typed)`, {
    hint: `nothing was done; to go on, run it again and type ${asked.word}, or add --yes`,
  });
}

/** Call before anything is sent. @throws DroverError USAGE */
export function assertTerminal(
  { verb, what }: Pick<Confirmation, 'verb' | 'what'>,
  isSure: boolean,
): void {
  if (isSure || process.stdin.isTTY) return;
  const sentence = what.charAt(0).toLowerCase() + what.slice(1);
  throw new DroverError('USAGE', `${verb}: not confirmed, nothing was done: ${sentence}`, {
    hint: 'add --yes if that is meant',
  });
}

/** Null when the terminal was closed instead (Ctrl-C, Ctrl-D). */
async function ask(question: string): Promise<string | null> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const closed = new Promise<null>((resolve) => terminal.once('close', () => resolve(null)));
    return await Promise.race([terminal.question(shown(question)), closed]);
  } finally {
    terminal.close();
  }
}
