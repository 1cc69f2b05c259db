/** The tree of a log against published roots and against the definition, written out naively. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { bytesToHex, utf8 } from '../../../shared/crypto/bytes.ts';
import {
  consistencyProof,
  inclusionProof,
  isConsistent,
  isIncluded,
  leafHash,
  rootOf,
} from '../../../shared/tlog/merkle.ts';

/** Entries and roots that implementations of RFC 6962 have tested each other with since 2013. */
const ENTRIES = [
  ...['', '00', '10', '2021', '3031', '40414243'],
  ...['5051525354555657', '606162636465666768696a6b6c6d6e6f'],
].map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const SIZE_MAX = 70;
const entry = (at: number): Uint8Array => utf8(`entry ${at}`);
const leavesOf = (size: number): Uint8Array[] =>
  Array.from({ length: size }, (_, at) => leafHash(entry(at)));

/** RFC 6962, 2.1, word for word: the judge. */
function naiveRoot(entries: readonly Uint8Array[]): Buffer {
  const hash = (...parts: Uint8Array[]): Buffer =>
    createHash('sha256').update(Buffer.concat(parts)).digest();
  const [first] = entries;
  if (first === undefined) return hash();
  if (entries.length === 1) return hash(Buffer.of(0), first);
  const split = 2 ** Math.ceil(Math.log2(entries.length) - 1);
  const [left, right] = [entries.slice(0, split), entries.slice(split)];
  return hash(Buffer.of(1), naiveRoot(left), naiveRoot(right));
}

/** Each way of changing one bit of one of the hashes. */
function* flipped(proof: readonly Uint8Array[]): Iterable<Uint8Array[]> {
  for (const [at, hash] of proof.entries()) {
    for (const byte of [0, 13, 31]) {
      const other = hash.slice();
      other[byte] = (other[byte] ?? 0) ^ 1;
      yield proof.map((one, which) => (which === at ? other : one));
    }
    yield proof.filter((_, which) => which !== at);
    yield [...proof, hash];
  }
}

test('roots are those of other implementations of RFC 6962 [P-14.1]', () => {
  for (const [size, root] of ROOTS.entries()) {
    assert.equal(bytesToHex(rootOf(ENTRIES.slice(0, size).map(leafHash))), root, `${size}`);
  }
});

test('roots are those of the definition, for every size up to 70', () => {
  for (let size = 0; size <= SIZE_MAX; size += 1) {
    const entries = Array.from({ length: size }, (_, at) => entry(at));
    assert.equal(bytesToHex(rootOf(leavesOf(size))), naiveRoot(entries).toString('hex'));
  }
});

test('every entry of every size has a proof, which holds for no other place, size or byte', () => {
  for (let size = 1; size <= SIZE_MAX; size += 1) {
    const leaves = leavesOf(size);
    const head = { size, root: rootOf(leaves) };
    for (const [index, leaf] of leaves.entries()) {
      const proof = inclusionProof(leaves, index);
      assert.ok(isIncluded({ leaf, index, proof }, head), `${index} of ${size}`);
      assert.ok(!isIncluded({ leaf, index: index + 1, proof }, head));
      assert.ok(!isIncluded({ leaf: leafHash(utf8('other')), index, proof }, head));
      for (const other of flipped(proof)) {
        assert.ok(!isIncluded({ leaf, index, proof: other }, head), `${index} of ${size}`);
      }
    }
  }
});

test('every tree is consistent with every one before it, and with no changed one', () => {
  for (let size = 0; size <= SIZE_MAX; size += 1) {
    const leaves = leavesOf(size);
    const newer = { size, root: rootOf(leaves) };
    for (let before = 0; before <= size; before += 1) {
      const older = { size: before, root: rootOf(leaves.slice(0, before)) };
      const proof = consistencyProof(leaves, before);
      assert.ok(isConsistent(older, newer, proof), `${before} of ${size}`);
      if (before === 0) continue;
      const rewritten = rootOf([leafHash(utf8('x')), ...leaves.slice(1, before)]);
      assert.ok(!isConsistent({ size: before, root: rewritten }, newer, proof));
      if (before < size) assert.ok(!isConsistent(newer, older, proof), 'it does not shrink');
      for (const other of flipped(proof)) {
        assert.ok(!isConsistent(older, newer, other), `${before} of ${size}`);
      }
    }
  }
});

test('any numbers and hashes are a proof that holds or does not, and never an error', () => {
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const count = fc.oneof(fc.nat(80), fc.nat(Number.MAX_SAFE_INTEGER));
  fc.assert(
    fc.property(count, count, hash, fc.array(hash, { maxLength: 60 }), (a, b, root, proof) => {
      assert.equal(isIncluded({ leaf: root, index: a, proof }, { size: b, root: entry(1) }), false);
      assert.equal(isConsistent({ size: a, root }, { size: b, root: entry(1) }, proof), false);
    }),
  );
});
