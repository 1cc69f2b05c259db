/** A small log for tests: its key, its witnesses, its entries, and proofs of them. */

import { utf8 } from '../../../shared/crypto/bytes.ts';
import { seedSigner, type Signer } from '../../../shared/crypto/ed25519.ts';
import { checkpointText } from '../../../shared/tlog/checkpoint.ts';
import { inclusionProof, leafHash, rootOf } from '../../../shared/tlog/merkle.ts';
import { formatNote, withSignature, type Note } from '../../../shared/tlog/note.ts';
import {
  cosignNote,
  formatVerifier,
  signNote,
  verifierOf,
} from '../../../shared/tlog/note-keys.ts';
import { formatLogProof } from '../../../shared/tlog/proof.ts';

const signerOf = (byte: number): Signer => seedSigner(new Uint8Array(32).fill(byte));

export const ORIGIN = 'example.org/fleet';
export const LOG_SIGNER = signerOf(0x11);
export const LOG_KEY = formatVerifier(verifierOf('log', ORIGIN, LOG_SIGNER.publicKey));
const WITNESSES = { w1: signerOf(0x21), w2: signerOf(0x22), w3: signerOf(0x23) };
export type WitnessName = keyof typeof WITNESSES;

export const witnessKey = (name: WitnessName): string =>
  formatVerifier(verifierOf('witness', name, WITNESSES[name].publicKey));

/** A policy that knows the log and the three witnesses. */
export const policyText = (...more: string[]): string =>
  [
    `log ${LOG_KEY}`,
    ...(['w1', 'w2', 'w3'] as const).map((name) => `witness ${name} ${witnessKey(name)}`),
    ...more,
    '',
  ].join('\n');

export async function makeCheckpoint(
  entries: readonly Uint8Array[],
  witnesses: readonly WitnessName[] = [],
  { origin = ORIGIN, signer = LOG_SIGNER } = {},
): Promise<Note> {
  const leaves = entries.map(leafHash);
  const text = checkpointText(origin, { size: leaves.length, root: rootOf(leaves) });
  let note: Note = { text, signatures: [await signNote(text, origin, signer)] };
  for (const name of witnesses) {
    const by = { name, signer: WITNESSES[name], atMs: 1_700_000_000_000 };
    note = withSignature(note, await cosignNote(text, by));
  }
  return note;
}

export async function makeProof(
  entries: readonly Uint8Array[],
  index: number,
  witnesses: readonly WitnessName[] = [],
): Promise<string> {
  const hashes = inclusionProof(entries.map(leafHash), index);
  return formatLogProof(index, hashes, await makeCheckpoint(entries, witnesses));
}

export const noteBytes = (note: Note): Uint8Array => utf8(formatNote(note));
