/** `build`: the same tree gives the same bytes, and any tar reads them back. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  symlink,
  utimes,
  writeFile,
  link,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { buildBundle, type BuiltBundle } from '../../../publisher/bundle/build.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { makeOutput } from '../../../shared/io/cli.ts';
import { openBundle } from '../../../shared/io/bundle-folder.ts';
import { tempFolder, withTempFolder } from '../../helpers/temp-folder.ts';

const LABELS = {
  name: 'app',
  version: '1.2.3',
  arch: 'any',
  minCurrent: '1.0.0',
  rollback: '1.2.2',
} as const;

interface Leaf {
  readonly path: string;
  readonly body: Uint8Array;
  readonly runs: boolean;
}

async function writeTree(root: string, leaves: readonly Leaf[], seconds: number): Promise<void> {
  for (const { path, body, runs } of leaves) {
    const full = join(root, path);
    await mkdir(dirname(full), { recursive: true });
    await writeFile(full, body);
    await chmod(full, runs ? 0o700 : 0o600);
    await utimes(full, seconds, seconds);
  }
}

function build(
  appFolder: string,
  out: string,
  labels = LABELS,
  plainModes = false,
): Promise<BuiltBundle> {
  const output = makeOutput(true);
  return buildBundle({ source: appFolder, out, labels, plainModes, dryRun: false, output });
}

async function assertBuildRefused(folder: string, code: string, words: RegExp): Promise<void> {
  await assert.rejects(build(folder, `${folder}-out`), (error) => {
    assert.ok(error instanceof DroverError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  });
  const left = (await readdir(dirname(folder))).filter((name) => name.includes('-out'));
  assert.deepEqual(left, [], 'nothing half-built stays behind');
}

const LEAVES: readonly Leaf[] = [
  { path: 'bin/run', body: Buffer.from('#!/bin/sh\n'), runs: true },
  { path: 'lib/a.txt', body: Buffer.from('a'), runs: false },
  { path: 'lib/größe-名前.txt', body: Buffer.from('unicode'), runs: false },
  { path: `deep/${'d'.repeat(90)}/${'e'.repeat(90)}/long`, body: Buffer.from('x'), runs: false },
  { path: 'empty', body: Buffer.alloc(0), runs: false },
  { path: 'big', body: Buffer.alloc(700_001, 'drover'), runs: false },
];

test('with --plain-modes a tree gives the same bundle, whatever its dates, umask and order of creation', async (t) => {
  const folder = await tempFolder(t);
  const [one, two] = [join(folder, 'one'), join(folder, 'two')];
  await writeTree(one, LEAVES, 1_000_000_000);
  await symlink('bin/run', join(one, 'start'));
  const umask = process.umask(0o077);
  try {
    await mkdir(two);
    await symlink('bin/run', join(two, 'start'));
    await writeTree(two, [...LEAVES].reverse(), 1_700_000_000);
    await chmod(join(two, 'lib'), 0o2770);
    await build(two, join(folder, 'b2'), LABELS, true);
  } finally {
    process.umask(umask);
  }
  await build(one, join(folder, 'b1'), LABELS, true);
  for (const name of ['manifest.json', 'payload.tar.gz']) {
    const [a, b] = await Promise.all(['b1', 'b2'].map((b) => readFile(join(folder, b, name))));
    assert.deepEqual(sha256Hex(a as Buffer), sha256Hex(b as Buffer), name);
  }
});

test('the payload says nothing of its machine: no time, no owner, unknown OS', async (t) => {
  const folder = await tempFolder(t);
  await writeTree(join(folder, 'app'), LEAVES, 1_000_000_000);
  await build(join(folder, 'app'), join(folder, 'b'));
  const gzip = await readFile(join(folder, 'b', 'payload.tar.gz'));
  assert.deepEqual([...gzip.subarray(0, 10)], [31, 139, 8, 0, 0, 0, 0, 0, 0, 255]);
  const listing = execFileSync('tar', ['-tvzf', join(folder, 'b', 'payload.tar.gz')], {
    env: { ...process.env, TZ: 'UTC' },
  }).toString();
  for (const line of listing.trim().split('\n')) assert.match(line, / 0\/0 .* 1970-01-01 00:00 /);
  assert.match(listing, /^-rwx------ .* bin\/run$/m);
  assert.match(listing, /^-rw------- .* lib\/a\.txt$/m);
});

test('the manifest says what the payload is, measured again by others', async (t) => {
  const folder = await tempFolder(t);
  await writeTree(join(folder, 'app'), LEAVES, 0);
  await build(join(folder, 'app'), join(folder, 'b'));
  const { manifest, close } = await openBundle(join(folder, 'b'), { unsigned: true });
  const payload = await readFile(join(folder, 'b', 'payload.tar.gz'));
  const tar = gunzipSync(payload);
  assert.equal(manifest.payload_sha256, sha256Hex(payload));
  assert.equal(manifest.payload_size, payload.byteLength);
  assert.equal(manifest.payload_tar_sha256, sha256Hex(tar));
  assert.equal(manifest.payload_tar_size, tar.byteLength);
  assert.equal(manifest.rollback_version, '1.2.2');
  await close();
});

/** Every path below a folder: files with body and x bit, links with their target. */
async function readTree(root: string, prefix = ''): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await readdir(join(root, prefix))) {
    const path = prefix === '' ? name : `${prefix}/${name}`;
    const entry = await lstat(join(root, path));
    if (entry.isDirectory()) Object.assign(found, { [path]: 'folder' }, await readTree(root, path));
    else if (entry.isSymbolicLink()) found[path] = `-> ${await readlink(join(root, path))}`;
    else {
      const hash = sha256Hex(await readFile(join(root, path)));
      found[path] = `${entry.mode & 0o111 ? 'x' : '-'} ${hash}`;
    }
  }
  return found;
}

const nameArbitrary = fc
  .stringMatching(/^[A-Za-z0-9 ._\-äß名=\n"'\\]{1,40}$/)
  .filter((name) => name !== '.' && name !== '..');
const leafArbitrary = fc.record({
  path: fc.array(nameArbitrary, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
  body: fc.uint8Array({ maxLength: 2_000 }),
  runs: fc.boolean(),
});

/** Leaves whose paths are no folders of one another. */
function consistent(leaves: readonly Leaf[]): Leaf[] {
  const taken: Leaf[] = [];
  for (const leaf of leaves) {
    const clash = taken.some(
      ({ path }) =>
        path === leaf.path || path.startsWith(`${leaf.path}/`) || leaf.path.startsWith(`${path}/`),
    );
    if (!clash) taken.push(leaf);
  }
  return taken;
}

test('a plain tar unpacks any tree to what it was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(leafArbitrary, { minLength: 1, maxLength: 12 }), async (leaves) => {
      await withTempFolder(async (folder) => {
        const [app, back] = [join(folder, 'app'), join(folder, 'back')];
        await writeTree(app, consistent(leaves), 1);
        await mkdir(back);
        await build(app, join(folder, 'b'));
        execFileSync('tar', ['-xzf', join(folder, 'b', 'payload.tar.gz'), '-C', back]);
        assert.deepEqual(await readTree(back), await readTree(app));
      });
    }),
    { numRuns: 25 },
  );
});

test('hard links become files of their own', async (t) => {
  const folder = await tempFolder(t);
  await writeTree(join(folder, 'app'), [{ path: 'a', body: Buffer.from('1'), runs: false }], 1);
  await link(join(folder, 'app', 'a'), join(folder, 'app', 'b'));
  await build(join(folder, 'app'), join(folder, 'bundle'));
  const payload = join(folder, 'bundle', 'payload.tar.gz');
  const listing = execFileSync('tar', ['-tvzf', payload]).toString();
  assert.equal(listing.match(/^-rw-------/gm)?.length, 2, listing);
});

test('permission bits go into the payload as they are, those of folders too', async (t) => {
  const folder = await tempFolder(t);
  const app = join(folder, 'app');
  await mkdir(app);
  const modes: Record<string, number> = { a: 0o600, b: 0o444, c: 0o664, d: 0o750, e: 0o006 };
  for (const [name, mode] of Object.entries(modes)) {
    await writeFile(join(app, name), name);
    await chmod(join(app, name), mode);
  }
  const folders: Record<string, number> = { f: 0o700, g: 0o555, h: 0o1777, i: 0o2775 };
  for (const [name, mode] of Object.entries(folders)) {
    await mkdir(join(app, name));
    await chmod(join(app, name), mode);
  }
  const { plan } = await build(app, join(folder, 'b'));
  const planned = Object.fromEntries(plan.entries.map(({ path, mode }) => [path, mode]));
  assert.deepEqual(planned, { ...modes, ...folders, i: 0o775 });
});

test('an entry that no robot would unpack is refused by its name, and leaves nothing behind', async (t) => {
  const folder = await tempFolder(t);
  const trees: [string, (app: string) => Promise<unknown>, RegExp][] = [
    ['absolute', (app) => symlink('/etc/passwd', join(app, 'secrets')), /secrets.*absolute/],
    ['upwards', (app) => symlink('../../x', join(app, 'up')), /up.*leaves the tree/],
    [
      'crooked',
      async (app) => {
        await mkdir(join(app, 'd', 'e'), { recursive: true });
        await symlink('../..', join(app, 'd', 'e', 'top'));
        await symlink('d/e/top/../x', join(app, 'sly'));
      },
      /sly/,
    ],
    ['setuid', (app) => chmod(join(app, 'a'), 0o4755), /"a".*setuid/],
    ['fifo', async (app) => execFileSync('mkfifo', [join(app, 'pipe')]), /pipe.*fifo/],
  ];
  for (const [name, make, words] of trees) {
    const app = join(folder, name);
    await writeTree(app, [{ path: 'a', body: Buffer.from('1'), runs: false }], 1);
    await make(app);
    await assertBuildRefused(app, 'ARCHIVE_UNSAFE', words);
  }
});

test('a socket in the tree is refused', async (t) => {
  const folder = await tempFolder(t);
  const app = join(folder, 'app');
  await writeTree(app, [{ path: 'a', body: Buffer.from('1'), runs: false }], 1);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(app, 'live.sock'), resolve));
  t.after(() => new Promise<void>((resolve) => server.close(() => resolve())));
  await assertBuildRefused(app, 'ARCHIVE_UNSAFE', /live\.sock.*socket/);
});

test('a name that is not UTF-8 is refused', async (t) => {
  const folder = await tempFolder(t);
  const app = join(folder, 'app');
  await mkdir(app);
  await writeFile(Buffer.concat([Buffer.from(`${app}/`), Buffer.from([0x61, 0xff])]), 'x');
  await assertBuildRefused(app, 'ARCHIVE_UNSAFE', /not UTF-8/);
});

test('an empty tree, a missing tree and a bundle inside its own tree are refused', async (t) => {
  const folder = await tempFolder(t);
  const app = join(folder, 'app');
  await assertBuildRefused(app, 'FILE_UNREADABLE', /app/);
  await mkdir(app);
  await assertBuildRefused(app, 'USAGE', /no file/);
  await writeFile(join(app, 'a'), '1');
  await assert.rejects(build(app, join(app, 'bundles', '1')), /inside the application/);
});

test('an existing bundle is never replaced', async (t) => {
  const folder = await tempFolder(t);
  await writeTree(join(folder, 'app'), LEAVES, 1);
  await build(join(folder, 'app'), join(folder, 'b'));
  const before = await readFile(join(folder, 'b', 'manifest.json'));
  await assert.rejects(
    build(join(folder, 'app'), join(folder, 'b'), { ...LABELS, version: '9.9.9' } as never),
    { code: 'FILE_EXISTS' },
  );
  assert.deepEqual(await readFile(join(folder, 'b', 'manifest.json')), before);
});

test('labels that no robot could act on are refused with the name of their option', async (t) => {
  const folder = await tempFolder(t);
  await writeTree(join(folder, 'app'), LEAVES, 1);
  const wrong: [object, RegExp][] = [
    [{ version: '1.2' }, /--version/],
    [{ arch: 'my arch' }, /--arch/],
    [{ name: 'a.b' }, /--name/],
    [{ minCurrent: '1.2.3' }, /--min-current is not below/],
    [{ rollback: '2.0.0' }, /--rollback is not below/],
  ];
  for (const [label, words] of wrong) {
    await assert.rejects(
      build(join(folder, 'app'), join(folder, 'b'), { ...LABELS, ...label }),
      (error) => {
        assert.ok(error instanceof DroverError && error.code === 'USAGE', String(error));
        assert.match(error.message, words);
        return true;
      },
    );
  }
});
