/** Doors with a planted fault of each kind: the fuzzer has to find each of them. */

import { utf8 } from '../../shared/crypto/bytes.ts';
import type { Door, OpenDoor } from './door.ts';

const doorOf =
  (open: Door['open']): OpenDoor =>
  async () => ({ seeds: [utf8('aaaa')], words: [], refusals: /^$/, batch: 64, open });

/** Four bytes, one behind the other: chance alone would need billions of inputs. */
function failOnWord(input: Uint8Array): void {
  if (input[0] !== 0x64) return;
  if (input[1] !== 0x72) return;
  if (input[2] !== 0x6f) return;
  if (input[3] === 0x76) throw new TypeError('planted');
}

function hangOnLength(input: Uint8Array): void {
  while (input.byteLength > 300);
}

function fillMemory(input: Uint8Array): void {
  const kept: number[][] = [];
  while (input.byteLength > 300) kept.push(new Array<number>(100_000).fill(kept.length));
}

/** Answers each input, and then serves nobody any more. */
const serveNobody: OpenDoor = async (scope) => {
  let longest = 0;
  const door = await doorOf((input) => void (longest = Math.max(longest, input.byteLength)))(scope);
  const check = async (): Promise<void> => {
    if (longest > 300) throw new Error('planted');
  };
  return { ...door, check };
};

export const PLANTED: Readonly<Record<string, OpenDoor>> = {
  'planted-word': doorOf(failOnWord),
  'planted-hang': doorOf(hangOnLength),
  'planted-memory': doorOf(fillMemory),
  'planted-silence': serveNobody,
};
