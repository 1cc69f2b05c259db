import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { archFits, canonicalArch } from '../../../shared/rules/rollout-rules.ts';
import { sha256, sha256Hex, Sha256Stream } from '../../../shared/crypto/hash.ts';
import { isId, isSha256Hex, parseRobotId, shortHash } from '../../../shared/base/ids.ts';
import { assertRefused, verdictOf } from '../../helpers/refusal.ts';

test('an id is a topic level and a file name on every system, or it is refused', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[\w./#+$-]{0,70}$/)), (text) => {
      const good = /^[A-Za-z0-9_-]+$/.test(text) && text.length <= 64;
      assert.equal(isId(text), good && !text.includes('\n'));
      assert.equal(
        verdictOf(() => parseRobotId(text)),
        isId(text) ? 'taken' : 'USAGE',
      );
    }),
    { numRuns: 1_000 },
  );
  assert.equal(isId('r1\n'), false);
  assertRefused('USAGE', () => parseRobotId('a.b'), /robot id.*got "a\.b"/);
});

test('a hash is 64 lower-case hex digits, and is cut for people', () => {
  const hash = sha256Hex(new Uint8Array());
  assert.equal(hash, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  assert.equal(isSha256Hex(hash), true);
  for (const text of [hash.toUpperCase(), hash.slice(1), `${hash}\n`, '']) {
    assert.equal(isSha256Hex(text), false);
  }
  assert.equal(shortHash(hash), 'e3b0c44298fc');
});

test('a hash over pieces is the hash over the whole', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }), (pieces) => {
      const stream = new Sha256Stream();
      for (const piece of pieces) stream.update(piece);
      const whole = Buffer.concat(pieces);
      assert.equal(stream.bytes, whole.length);
      assert.equal(stream.digestHex(), sha256Hex(whole));
      assert.equal(Buffer.from(sha256(whole)).toString('hex'), sha256Hex(whole));
    }),
  );
});

test('the names that Debian, Node and uname have for one CPU mean the same', () => {
  for (const names of [
    ['arm64', 'aarch64'],
    ['amd64', 'x64', 'x86_64', 'x86-64'],
    ['arm', 'armhf', 'armv7l'],
  ]) {
    for (const a of names) for (const b of names) assert.ok(archFits(a, b), `${a} ${b}`);
  }
  assert.equal(archFits('aarch64', 'x86_64'), false);
  assert.equal(archFits('any', 'riscv64'), true);
  assert.equal(archFits('riscv64', 'any'), false);
});

test('any text is an architecture: an unknown one fits only itself', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.constantFrom('toString', '__proto__')), (name) => {
      assert.equal(typeof canonicalArch(name), 'string');
      assert.equal(archFits(name, name), true);
    }),
  );
});
