/** Extended attributes of a tree are never lost in silence. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import {
  assertNoXattrs,
  isMachineXattr,
  paxXattr,
} from '../../../publisher/bundle/xattr-policy.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { startBrokerChild } from '../../e2e/broker-child.ts';
import { startDrover } from '../../helpers/child.ts';
import { findPeer, requirePeer } from '../../helpers/peer.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

test('labels of the machine are no part of an application, capabilities and ACLs are', () => {
  const machine = ['security.selinux', 'trusted.overlay.opaque', 'btrfs.compression'];
  const own = ['security.capability', 'system.posix_acl_access', 'user.note', 'security.ima'];
  assert.deepEqual([machine.every(isMachineXattr), own.some(isMachineXattr)], [true, false]);
});

test('at most ten files are named, and the others are counted', () => {
  const found = Array.from({ length: 12 }, (_one, at) => ({
    path: `f${at}`,
    names: ['security.capability'],
  }));
  assertNoXattrs([]);
  assert.throws(
    () => assertNoXattrs(found),
    (error) =>
      error instanceof DroverError &&
      error.code === 'XATTRS_REFUSED' &&
      /"f9" \(file capabilities\) and 2 more$/.test(error.message),
  );
});

test('a tree with attributes is refused by any reader, and packed without them on purpose', async (t) => {
  if (!requirePeer(t, 'setfattr')) return;
  const folder = await tempFolder(t);
  const app = join(folder, 'app');
  mkdirSync(app);
  writeFileSync(join(app, 'plain'), 'x');
  const noted = join(app, 'no ted\n');
  writeFileSync(noted, 'x');
  execFileSync('setfattr', ['-n', 'user.note', '-v', 'hello', noted]);
  const paths = { getfattr: join(folder, 'p1'), tar: join(folder, 'p2'), none: join(folder, 'p3') };
  for (const [reader, path] of Object.entries(paths)) {
    mkdirSync(path);
    if (reader !== 'none') symlinkSync(findPeer(reader) ?? reader, join(path, reader));
  }
  const build = async (PATH: string, ...more: string[]) => {
    const args = ['build', app, '--version', '1.0.0', '--arch', 'any', ...more];
    const out = join(folder, 'b');
    const child = startDrover(t, 'publisher', [...args, '--out', out], { env: { PATH } });
    await child.exit;
    return child;
  };
  for (const reader of ['getfattr', 'tar'] as const) {
    const child = await build(paths[reader]);
    assert.equal(child.ended?.code, 2, child.describe());
    assert.match(child.stderr, /"no ted\\u\{a\}" \(user\.note\) \(XATTRS_REFUSED\)/);
  }
  assert.match((await build(paths.none)).stderr, /XATTRS_UNREADABLE/);
  assert.equal((await build(paths.none, '--drop-xattrs')).ended?.code, 0);
});

test('PAX records of three tools name an attribute, others do not', () => {
  const keys = ['SCHILY.xattr.user.a', 'LIBARCHIVE.xattr.security.capability', 'SCHILY.acl.access'];
  assert.deepEqual(keys.map(paxXattr), ['user.a', 'security.capability', 'acl.access']);
  assert.deepEqual(['mtime', 'SCHILY.dev', 'xattr.user.a'].map(paxXattr), [null, null, null]);
});

test('a tar of another tool with attributes is not signed, unless a person says so', async (t) => {
  if (!requirePeer(t, 'setfattr')) return;
  const folder = await tempFolder(t);
  const app = join(folder, 'app');
  mkdirSync(app);
  writeFileSync(join(app, 'run'), 'x');
  execFileSync('setfattr', ['-n', 'user.note', '-v', 'hello', join(app, 'run')]);
  const payload = join(folder, 'payload.tar.gz');
  execFileSync('tar', ['--xattrs', '--format=posix', '-czf', payload, '-C', app, 'run']);
  const bundle = join(folder, 'bundle');
  mkdirSync(bundle);
  renameSync(payload, join(bundle, 'payload.tar.gz'));
  const bytes = readFileSync(join(bundle, 'payload.tar.gz'));
  const manifest = {
    ...{ name: 'app', version: '1.0.0', target_arch: 'any', min_current_version: '0.0.0' },
    ...{
      rollback_version: '0.0.0',
      apply_strategy: 'atomic_swap',
      payload_sha256: sha256Hex(bytes),
    },
  };
  writeFileSync(join(bundle, 'manifest.json'), JSON.stringify(manifest));
  const drover = async (...args: string[]) => {
    const child = startDrover(t, 'publisher', args);
    await child.exit;
    return child;
  };
  await drover('keygen', '--out', join(folder, 'release'));
  const sign = ['sign', bundle, '--key', join(folder, 'release.key')];
  const refused = await drover(...sign);
  assert.equal(refused.ended?.code, 2, refused.describe());
  assert.match(refused.stderr, /sign: .*"run" \(user\.note\) \(XATTRS_REFUSED\)/);
  assert.match((await drover('inspect', bundle)).stdout, /attributes +of 1 entry:/);
  const signed = await drover(...sign, '--drop-xattrs');
  assert.equal(signed.ended?.code, 0, signed.describe());
});

test('attributes in global PAX records are found; publish and import tell those of a signed bundle', async (t) => {
  const python = requirePeer(t, 'python3');
  if (!python) return;
  const folder = await tempFolder(t);
  const payload = join(folder, 'payload.tar.gz');
  const script = [
    'import io, sys, tarfile',
    'head = {"SCHILY.xattr.user.note": "hello"}',
    'tar = tarfile.open(sys.argv[1], "w:gz", format=tarfile.PAX_FORMAT, pax_headers=head)',
    'entry = tarfile.TarInfo("run"); entry.size = 1',
    'tar.addfile(entry, io.BytesIO(b"x")); tar.close()',
  ];
  execFileSync(python, ['-c', script.join('\n'), payload]);
  const manifest = {
    ...{ name: 'app', version: '1.0.0', target_arch: 'any', min_current_version: '0.0.0' },
    ...{ rollback_version: '0.0.0', apply_strategy: 'atomic_swap' },
    payload_sha256: sha256Hex(readFileSync(payload)),
  };
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  const drover = async (...args: string[]) => {
    const child = startDrover(t, 'publisher', args);
    await child.exit;
    return child;
  };
  const key = join(folder, 'key');
  await drover('keygen', '--out', key);
  const sign = ['sign', folder, '--key', `${key}.key`];
  assert.match((await drover(...sign)).stderr, /"run" \(user\.note\) \(XATTRS_REFUSED\)/);
  await drover(...sign, '--drop-xattrs');
  const trust = join(folder, 'trust.json');
  const keys = ['--release', `${key}.pub`, '--rollout', `${key}.pub`];
  await drover('trust', 'init', ...keys, '--fleet', 'test', '--out', trust);
  const { url } = await startBrokerChild(t);
  const words = ['--broker', url, '--trust', trust, '--upload-only'];
  const published = await drover('publish', folder, ...words);
  assert.equal(published.ended?.code, 0, published.describe());
  assert.match(published.stderr, /no robot restores \(XATTRS_REFUSED\).*user\.note/);

  const parcel = join(folder, 'stick.drover-export');
  const exported = await drover('export', folder, '--trust', trust, '--out', parcel);
  assert.equal(exported.ended?.code, 0, exported.describe());
  const into = ['--into', join(folder, 'kept')];
  for (const how of [['--dry-run'], []]) {
    const imported = await drover('import', parcel, ...words, ...into, ...how);
    assert.equal(imported.ended?.code, 0, imported.describe());
    assert.match(imported.stderr, /no robot restores \(XATTRS_REFUSED\).*user\.note/);
  }
});
