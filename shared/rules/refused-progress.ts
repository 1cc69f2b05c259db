/**
 * Remembers refused progress, by rollout, until a valid one has arrived. Robots report it to the
 * fleet, and so does a relay for progress that it does not forward. Meanwhile no stop, no recall
 * and no new wave of that rollout is obeyed there. Sans-I/O.
 */

import type { ErrorCode } from '../base/error-catalogue.ts';
import { DroverError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RefusedProgressFields } from '../formats/messages.ts';

export interface RefusedWord {
  readonly code: ErrorCode;
  /** Its `seq`; null when it could not be parsed. */
  readonly seq: number | null;
}

export class RefusedProgress<T extends RefusedWord = RefusedWord> {
  /** The longest refused first. */
  readonly #words = new Map<string, T>();

  get(rollout: string): T | undefined {
    return this.#words.get(rollout);
  }

  /** @returns true when this is new */
  note(rollout: string, word: T): boolean {
    const known = this.#words.get(rollout);
    if (known?.code === word.code && known.seq === word.seq) return false;
    this.#words.delete(rollout);
    this.#words.set(rollout, word);
    const [oldest] = this.#words.keys();
    if (this.#words.size > LIMITS.rolloutsMax && oldest !== undefined) this.#words.delete(oldest);
    return true;
  }

  /** Progress of it was accepted, or taken back. @returns true when one was refused before */
  heard(rollout: string): boolean {
    return this.#words.delete(rollout);
  }

  /** The fields of a report. */
  get fields(): RefusedProgressFields {
    return [...this.#words].map(([rollout, word]) => fieldsOf(rollout, word));
  }
}

export const fieldsOf = (
  rollout: string,
  { code, seq }: RefusedWord,
): RefusedProgressFields[number] => ({ rollout, code, ...(seq === null ? {} : { seq }) });

/** The `seq` of a document that was refused, where it was read. */
export function seqOfRefused(thrown: unknown): number | null {
  const got = thrown instanceof DroverError ? thrown.facts['got'] : null;
  return typeof got === 'number' ? got : null;
}
