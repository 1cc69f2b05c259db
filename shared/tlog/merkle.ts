/**
 * The Merkle tree of a log (RFC 6962, section 2.1): roots, and the two proofs that stand instead of
 * the whole log. An inclusion proof shows that an entry is in a tree, a consistency proof that a
 * tree holds an older one with nothing taken out or changed. Sans-I/O.
 */

import { bytesEqual, concatBytes } from '../crypto/bytes.ts';
import { sha256 } from '../crypto/hash.ts';

/** Prefixes keep a leaf from ever being taken for a node. [P-14.1] */
const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);

export const leafHash = (entry: Uint8Array): Uint8Array => sha256(concatBytes(LEAF, entry));

const nodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array =>
  sha256(concatBytes(NODE, left, right));

type Hashes = readonly Uint8Array[];

/** A tree head: how many leaves, and the hash over all of them. */
export interface TreeHead {
  readonly size: number;
  readonly root: Uint8Array;
}

export function rootOf(leaves: Hashes): Uint8Array {
  const [first] = leaves;
  if (first === undefined) return sha256(new Uint8Array());
  if (leaves.length === 1) return first;
  const split = splitOf(leaves.length);
  return nodeHash(rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)));
}

/** The largest power of two below `size`: where a tree of it divides. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** From the leaf's sibling up to the root's child. @param index of a leaf that is there */
export function inclusionProof(leaves: Hashes, index: number): Uint8Array[] {
  if (leaves.length <= 1) return [];
  const split = splitOf(leaves.length);
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return index < split
    ? [...inclusionProof(left, index), rootOf(right)]
    : [...inclusionProof(right, index - split), rootOf(left)];
}

/** True when the leaf stands at `index` of the tree. Never throws. */
export function isIncluded(
  { leaf, index, proof }: { leaf: Uint8Array; index: number; proof: Hashes },
  { size, root }: TreeHead,
): boolean {
  if (index < 0 || index >= size) return false;
  let [at, last, hash] = [index, size - 1, leaf];
  for (const sibling of proof) {
    if (last === 0) return false;
    if (isOdd(at) || at === last) {
      hash = nodeHash(sibling, hash);
      while (!isOdd(at) && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && bytesEqual(hash, root);
}

/** Proves that the first `size` leaves are a tree inside this one. @param size at most its own */
export function consistencyProof(leaves: Hashes, size: number): Uint8Array[] {
  return size === 0 ? [] : subProof(leaves, size, true);
}

/** @param isWhole the older tree ends here, so its verifier knows this root already */
function subProof(leaves: Hashes, size: number, isWhole: boolean): Uint8Array[] {
  if (size === leaves.length) return isWhole ? [] : [rootOf(leaves)];
  const split = splitOf(leaves.length);
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return size <= split
    ? [...subProof(left, size, isWhole), rootOf(right)]
    : [...subProof(right, size - split, false), rootOf(left)];
}

/** True when the newer tree holds all of the older one, in its order. Never throws. */
export function isConsistent(older: TreeHead, newer: TreeHead, proof: Hashes): boolean {
  if (older.size > newer.size) return false;
  if (older.size === newer.size) return proof.length === 0 && bytesEqual(older.root, newer.root);
  if (older.size === 0) return proof.length === 0 && bytesEqual(older.root, rootOf([]));
  let [at, last] = [older.size - 1, newer.size - 1];
  while (isOdd(at)) [at, last] = [half(at), half(last)];
  // A tree of a power of two is a node of the newer one: its root is where the walk begins.
  const [first, ...rest] = at === 0 ? [older.root, ...proof] : proof;
  if (first === undefined || (at === 0 && proof.length === 0)) return false;
  let [oldRoot, newRoot] = [first, first];
  for (const sibling of rest) {
    if (last === 0) return false;
    if (isOdd(at) || at === last) {
      [oldRoot, newRoot] = [nodeHash(sibling, oldRoot), nodeHash(sibling, newRoot)];
      while (!isOdd(at) && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      newRoot = nodeHash(newRoot, sibling);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && bytesEqual(oldRoot, older.root) && bytesEqual(newRoot, newer.root);
}

/** Not by shifts: sizes may be beyond 32 bits. */
const half = (value: number): number => Math.floor(value / 2);
const isOdd = (value: number): boolean => value % 2 === 1;
