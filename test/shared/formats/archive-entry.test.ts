import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  assertUnpackedWithin,
  checkArchiveEntry,
  type ArchiveEntry,
} from '../../../shared/formats/archive-entry.ts';
import { ArchiveTree } from '../../../shared/formats/archive-tree.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const NOTHING = { entries: 0, bytes: 0 };
const entry = (more: Partial<ArchiveEntry>): ArchiveEntry => ({
  name: 'file',
  type: 'file',
  linkname: null,
  mode: 0o644,
  size: 0,
  ...more,
});
const check = (more: Partial<ArchiveEntry>) => checkArchiveEntry(entry(more), NOTHING, 1_000);
const refuses = (more: Partial<ArchiveEntry>, code: ErrorCode, words: RegExp) =>
  assert.throws(
    () => check(more),
    (error) => error instanceof DroverError && error.code === code && words.test(error.message),
  );

test('the output of plain tar for a small tree is taken as it is', () => {
  assert.deepEqual(check({ name: './', type: 'directory', mode: 0o700 }), { kind: 'ignore' });
  assert.deepEqual(check({ name: './bin/', type: 'directory', mode: 0o755 }), {
    kind: 'folder',
    path: 'bin',
    mode: 0o755,
  });
  assert.deepEqual(check({ name: './bin/run', mode: 0o755, size: 7 }), {
    kind: 'file',
    path: 'bin/run',
    mode: 0o755,
    bytes: 7,
  });
  assert.deepEqual(check({ name: './a/b/l', type: 'symlink', linkname: '../../bin/run' }), {
    kind: 'link',
    path: 'a/b/l',
    target: '../../bin/run',
  });
  assert.deepEqual(check({ name: './h', type: 'link', linkname: './bin/run' }), {
    kind: 'hardlink',
    path: 'h',
    target: 'bin/run',
  });
  assert.deepEqual(check({ name: 'old/', type: 'file' }).kind, 'folder');
});

test('a name that could lead out of the tree is refused and named', () => {
  const unsafe = (name: string, words: RegExp) => refuses({ name }, 'ARCHIVE_UNSAFE', words);
  unsafe('/etc/passwd', /absolute/);
  unsafe('../x', /holds \.\./);
  unsafe('a/../../x', /unpack "a\/\.\.\/\.\.\/x"/);
  unsafe('a/..', /holds \.\./);
  unsafe('a\0b', /NUL/);
  unsafe('', /empty/);
  unsafe('.', /no name/);
  unsafe('caf\uFFFD', /UTF-8/);
  unsafe('x'.repeat(256), /255 bytes/);
  unsafe('é'.repeat(128), /255 bytes/);
  unsafe('dir/'.repeat(300), /too long/);
});

test('a message about a hostile name carries no escape sequence and no megabyte', () => {
  try {
    check({ name: `/\u001b[2J\u202e${'x'.repeat(10_000)}` });
    assert.fail('taken');
  } catch (error) {
    assert.ok(error instanceof DroverError);
    assert.match(error.message, /\\u\{1b\}\[2J\\u\{202e\}x+…/);
    assert.ok(error.message.length < 300);
    assert.doesNotMatch(error.message, /\p{Cc}/u);
  }
});

test('a link may climb only at its start and never above the top folder', () => {
  const unsafe = (name: string, linkname: string, words: RegExp) =>
    refuses({ name, type: 'symlink', linkname }, 'ARCHIVE_UNSAFE', words);
  unsafe('l', '/etc', /absolute/);
  unsafe('l', '..', /leaves/);
  unsafe('a/l', '../..', /leaves/);
  unsafe('a/b/l', './.././../../x', /leaves/);
  unsafe('a/b/l', 'other/../../x', /after a name/);
  unsafe('l', '', /empty/);
  unsafe('l', 'x\0', /NUL/);
  assert.equal(check({ name: 'a/l', type: 'symlink', linkname: '..' }).kind, 'link');
  assert.equal(check({ name: 'l', type: 'symlink', linkname: '.' }).kind, 'link');
});

test('types, modes and sizes that no application tree needs are refused', () => {
  for (const type of [
    'character-device',
    'block-device',
    'fifo',
    'contiguous-file',
    'sparse file',
    'unknown type',
    '__proto__',
  ]) {
    refuses({ type }, 'ARCHIVE_UNSAFE', /type not allowed/);
  }
  for (const mode of [0o4755, 0o2755, 0o1644]) refuses({ mode }, 'ARCHIVE_UNSAFE', /setuid/);
  for (const mode of [Number.NaN, -1, 0.5]) refuses({ mode }, 'ARCHIVE_UNSAFE', /permission bits/);
  for (const size of [Number.NaN, -1, 0.5, Infinity]) refuses({ size }, 'ARCHIVE_UNSAFE', /size/);
  refuses({ type: 'symlink', linkname: 'x', size: 1 }, 'ARCHIVE_UNSAFE', /body/);
  refuses({ type: 'directory', size: 1 }, 'ARCHIVE_UNSAFE', /body/);
  refuses({ name: 'd/', size: 1 }, 'ARCHIVE_UNSAFE', /body/);
  refuses({ type: 'link', linkname: '../x' }, 'ARCHIVE_UNSAFE', /link target holds \.\./);
  refuses({ type: 'link', linkname: null }, 'ARCHIVE_UNSAFE', /empty/);
});

test('a folder keeps its bits, loses setgid and setuid, and its owner can always list it', () => {
  assert.deepEqual(check({ name: 'd', type: 'directory', mode: 0o7050 }), {
    kind: 'folder',
    path: 'd',
    mode: 0o1550,
  });
});

test('entries and unpacked bytes stop at their bounds', () => {
  const at = (soFar: { entries: number; bytes: number }, size: number, packedBytes: number) =>
    checkArchiveEntry(entry({ size }), soFar, packedBytes);
  const code = (run: () => unknown) => {
    try {
      run();
      return 'taken';
    } catch (error) {
      return error instanceof DroverError ? error.code : error;
    }
  };
  const floor = LIMITS.archiveExpansionFloorBytes;
  assert.equal(
    code(() => at(NOTHING, floor, 1)),
    'taken',
  );
  assert.equal(
    code(() => at(NOTHING, floor + 1, 1)),
    'ARCHIVE_TOO_LARGE',
  );
  assert.equal(
    code(() => at({ entries: 0, bytes: floor }, 1, floor)),
    'taken',
  );
  assert.equal(
    code(() => assertUnpackedWithin(LIMITS.archiveBytesMax + 1, LIMITS.payloadBytesMax, 'x')),
    'ARCHIVE_TOO_LARGE',
  );
  const full = { entries: LIMITS.archiveEntriesMax, bytes: 0 };
  assert.equal(
    code(() => at(full, 0, 1)),
    'ARCHIVE_TOO_LARGE',
  );
});

const segment = fc.oneof(
  fc.constantFrom('..', '.', '', 'a', 'b', 'c', 'a\0b', 'ü', '\uFFFD', '\u001b[2J'),
  fc.string({ maxLength: 300, unit: 'binary' }),
);
const path = fc.array(segment, { maxLength: 6 }).map((segments) => segments.join('/'));
const anyEntry = fc.record({
  name: path,
  type: fc.constantFrom('file', 'directory', 'symlink', 'link', 'fifo', 'unknown type'),
  linkname: fc.option(path),
  mode: fc.oneof(fc.nat(0o7777), fc.double(), fc.integer()),
  size: fc.oneof(fc.nat(10), fc.double(), fc.maxSafeInteger()),
});

test('any entry is either refused with a code or becomes a path inside the tree', () => {
  fc.assert(
    fc.property(anyEntry, (hostile) => {
      let action;
      try {
        action = checkArchiveEntry(hostile, NOTHING, 1_000);
      } catch (error) {
        assert.ok(error instanceof DroverError);
        assert.ok(['ARCHIVE_UNSAFE', 'ARCHIVE_TOO_LARGE'].includes(error.code));
        return;
      }
      if (action.kind === 'ignore') return;
      const segments = action.path.split('/');
      assert.ok(segments.every((s) => s !== '' && s !== '.' && s !== '..' && !s.includes('\0')));
      if ('mode' in action)
        assert.equal(action.mode & ~(action.kind === 'folder' ? 0o1777 : 0o777), 0);
      if (action.kind === 'link') {
        let depth = segments.length - 1;
        for (const step of action.target.split('/')) {
          if (step === '..') depth -= 1;
          else if (step !== '' && step !== '.') depth += 1;
          assert.ok(depth >= 0, `${action.path} -> ${action.target}`);
        }
      }
    }),
    { numRuns: 1_000 },
  );
});

test('a path is made once, and never through a link or a file', () => {
  const tree = new ArchiveTree();
  const file = { kind: 'file', path: 'a/b/f', mode: 0o644, bytes: 3 } as const;
  assert.deepEqual(tree.claim(file), ['a', 'a/b']);
  assert.deepEqual(tree.claim({ kind: 'folder', path: 'a/b', mode: 0o700 }), []);
  assert.deepEqual(tree.claim({ kind: 'link', path: 'a/l', target: 'b' }), []);
  assert.throws(() => tree.claim(file), /there already as a file/);
  assert.throws(() => tree.claim({ ...file, path: 'a/l' }), /there already as a link/);
  assert.throws(() => tree.claim({ ...file, path: 'a' }), /there already as a folder/);
  assert.throws(() => tree.claim({ ...file, path: 'a/l/x' }), /parent "l" is a link/);
  assert.throws(() => tree.claim({ ...file, path: 'a/b/f/x' }), /parent "f" is a file/);
  const hard = (target: string) => tree.claim({ kind: 'hardlink', path: 'h', target });
  for (const target of ['a', 'a/l', 'a/l/f', 'none', 'a/b/f/x']) {
    assert.throws(() => hard(target), /no file before it/, target);
  }
  hard('a/b/f');
  assert.deepEqual(tree.fileAt('h'), { kind: 'file', mode: 0o644, bytes: 3 });
  assert.equal(tree.entries, 5);
  assert.deepEqual(
    [...tree.folders()],
    [
      { path: 'a/b', mode: 0o700 },
      { path: 'a', mode: 0o755 },
    ],
  );
});

test('folders that entries only imply count as entries', () => {
  const tree = new ArchiveTree();
  const deep = 'd/'.repeat(400);
  assert.throws(
    () => {
      for (let at = 0; ; at += 1) {
        tree.claim({ kind: 'file', path: `${at}/${deep}f`, mode: 0, bytes: 0 });
      }
    },
    (error) => error instanceof DroverError && error.code === 'ARCHIVE_TOO_LARGE',
  );
  assert.equal(tree.entries, LIMITS.archiveEntriesMax);
});
