/** Reads a line of a trace again: what shared/io/trace.ts wrote. */

import { TRACE_WORDS, type TraceLine } from '../../shared/io/trace.ts';
import { base64ToBytes } from '../../shared/crypto/bytes.ts';

/** @throws SyntaxError for a line that was cut short */
export function decodeTraceLine(text: string): TraceLine {
  const value = rich(JSON.parse(text)) as Partial<TraceLine> | null;
  if (typeof value?.name !== 'string' || !Array.isArray(value.input))
    throw new SyntaxError('not a line of a trace');
  return value as TraceLine;
}

function rich(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(rich);
  const entries = Object.entries(value);
  const [[key, one] = ['', null]] = entries;
  if (entries.length === 1 && key === TRACE_WORDS.map)
    return new Map(rich(one) as [unknown, unknown][]);
  if (entries.length === 1 && key === TRACE_WORDS.bytes) return base64ToBytes(String(one));
  if (entries.length === 1 && key === TRACE_WORDS.number) return Number(one);
  return Object.fromEntries(entries.map(([name, each]) => [name, rich(each)]));
}
