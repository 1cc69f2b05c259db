/**
 * The mark `state/says-ready`: its presence says that an application uses POST /ready, its content
 * names the callers that hold by a lease. It is empty without any, as in 0.1. Sans-I/O.
 */

import { isId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { UNNAMED } from './ready-lease.ts';

export function encodeReadyMark(holders: Iterable<string>): string {
  const names = [...holders].sort();
  return names.length === 0 ? '' : `${JSON.stringify({ holders: names })}\n`;
}

/** Stands for a content that the disk did not give back. */
export const UNREAD_MARK = '?';

/** A content that cannot be read counts as a lease of the caller without a name. */
export function holdersOfMark(text: string): readonly string[] {
  if (text === '') return [];
  try {
    const { holders } = JSON.parse(text) as { holders?: unknown };
    const isWhole = Array.isArray(holders) && holders.length <= LIMITS.readyHoldersMax;
    if (isWhole && holders.every(isHolder)) return holders;
  } catch {
    // Damaged, as below.
  }
  return [UNNAMED];
}

const isHolder = (name: unknown): name is string =>
  typeof name === 'string' && (name === UNNAMED || isId(name));
