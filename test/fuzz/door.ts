/**
 * A door is an interface that takes bytes of strangers. It may answer, or refuse with one of its
 * codes; any other error, a hang, memory without a bound or a broken promise of the door is a
 * finding.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { Scope } from '../helpers/scope.ts';

export interface Door {
  /** Valid inputs, from which mutation begins. */
  readonly seeds: readonly Uint8Array[];
  /** Words of the format, which chance alone would not find. */
  readonly words: readonly string[];
  /** Codes with which it may refuse. */
  readonly refusals: RegExp;
  /** Inputs between two readings of the coverage: few where one input takes milliseconds. */
  readonly batch: number;
  /** @throws DroverError for a refusal; anything else is a finding */
  open(input: Uint8Array): void | Promise<void>;
  /** Called now and then: does what stands behind the door still do its work? @throws if not */
  readonly check?: () => Promise<void>;
}

export type OpenDoor = (scope: Scope) => Promise<Door>;

/** The answer of a door was wrong, which only the door itself can tell. */
export class BrokenPromise extends Error {}

/** Null when the door did as it may; else what it did. */
export async function findingOf(door: Door, input: Uint8Array): Promise<Error | null> {
  try {
    await door.open(input);
    return null;
  } catch (thrown) {
    if (isRefusal(thrown, door.refusals)) return null;
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}

/**
 * One of several readers of the same input: its refusal does not stop the others.
 * @returns false when it refused
 * @throws what is no refusal
 */
export function isTaken(refusals: RegExp, read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (thrown) {
    if (isRefusal(thrown, refusals)) return false;
    throw thrown;
  }
}

const isRefusal = (thrown: unknown, codes: RegExp): boolean =>
  thrown instanceof DroverError && codes.test(thrown.code);
