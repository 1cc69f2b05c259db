/**
 * Proofs of logging as text (C2SP tlog-proof): the place of an entry, the way up to the root, and a
 * checkpoint of it with all signatures. With the entry and a policy it can be verified offline.
 * Sans-I/O.
 */

import { base64ToBytes, bytesToBase64, utf8 } from '../crypto/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { parseCheckpoint, parseCount, parseHash, type Checkpoint } from './checkpoint.ts';
import { formatNote, noteInvalid, type Note } from './note.ts';

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';

export interface LogProof {
  readonly index: number;
  readonly hashes: readonly Uint8Array[];
  readonly checkpoint: Checkpoint;
}

/** [P-14.4] @throws DroverError LOG_NOTE_INVALID */
export function parseLogProof(text: string): LogProof {
  if (utf8(text).byteLength > LIMITS.logProofBytesMax) {
    throw noteInvalid(`a proof has at most ${LIMITS.logProofBytesMax} bytes`);
  }
  const end = text.indexOf('\n\n');
  if (end < 0) throw noteInvalid('a proof ends with a checkpoint after an empty line');
  const [first, ...lines] = text.slice(0, end).split('\n');
  if (first !== FIRST_LINE) throw noteInvalid(`a proof begins with ${FIRST_LINE}`);
  if (lines[0]?.startsWith('extra ') === true) {
    const extra = lines.shift()?.slice('extra '.length) ?? '';
    if (base64ToBytes(extra) === null) throw noteInvalid('extra data of a proof is no base64');
  }
  const line = lines.shift() ?? '';
  const index = line.startsWith('index ') ? parseCount(line.slice('index '.length)) : null;
  if (index === null) throw noteInvalid('a proof names the index of its entry');
  if (lines.length > LIMITS.logProofHashesMax) throw noteInvalid('a proof has too many hashes');
  const hashes = lines.map((one) => {
    const hash = parseHash(one);
    if (hash === null) throw noteInvalid('a hash of a proof is no base64 of 32 bytes');
    return hash;
  });
  return { index, hashes, checkpoint: parseCheckpoint(text.slice(end + 2)) };
}

export function formatLogProof(
  index: number,
  hashes: readonly Uint8Array[],
  checkpoint: Note,
): string {
  const lines = [FIRST_LINE, `index ${index}`, ...hashes.map(bytesToBase64)];
  return `${lines.join('\n')}\n\n${formatNote(checkpoint)}`;
}
