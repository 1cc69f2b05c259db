/**
 * Checkpoints (C2SP tlog-checkpoint): a signed note with the name of a log, its number of entries,
 * and the root hash over all of them. Sans-I/O.
 */

import { base64ToBytes, bytesToBase64 } from '../crypto/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import type { TreeHead } from './merkle.ts';
import { noteInvalid, noteText, parseNote, type Note } from './note.ts';

export interface Checkpoint extends TreeHead {
  /** Identity of the log, and the name of its key. */
  readonly origin: string;
  readonly note: Note;
}

const HASH_BYTES = 32;

/** Decimal without leading zeroes; null for everything else. */
export function parseCount(text: string | undefined): number | null {
  if (text === undefined || !/^(?:0|[1-9]\d{0,15})$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}

export function parseHash(text: string | undefined): Uint8Array | null {
  const bytes = base64ToBytes(text ?? '');
  return bytes?.byteLength === HASH_BYTES ? bytes : null;
}

/** [P-14.2] @throws DroverError LOG_NOTE_INVALID */
export function parseCheckpoint(whole: string): Checkpoint {
  const note = parseNote(whole);
  const [origin = '', count, base64, ...extensions] = note.text.slice(0, -1).split('\n');
  const [size, root] = [parseCount(count), parseHash(base64)];
  if (origin === '' || size === null || root === null || extensions.includes('')) {
    throw noteInvalid('a checkpoint is an origin, a size and a root hash');
  }
  return { origin, size, root, note };
}

/** @throws DroverError LOG_NOTE_INVALID */
export const readCheckpoint = (bytes: Uint8Array): Checkpoint =>
  parseCheckpoint(noteText(bytes, LIMITS.logNoteBytesMax));

export const checkpointText = (origin: string, { size, root }: TreeHead): string =>
  `${origin}\n${size}\n${bytesToBase64(root)}\n`;
