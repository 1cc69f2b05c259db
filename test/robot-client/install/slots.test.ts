/** Reads `active` and `rollback` in every spelling that a file system allows. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { DroverError } from '../../../shared/base/errors.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { versionOf, type Slot } from '../../../robot-client/install/slots.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { listLeft, pruneReleases } from '../../../robot-client/install/prune.ts';
import { readSlots } from '../../../robot-client/install/read-slots.ts';
import { assertAdmissible, swapBack, swapTo } from '../../../robot-client/update/swap.ts';

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** A root with 1.0.0 and 1.1.0, both made by Drover, and without links. */
async function makeRoot(): Promise<string> {
  const above = await realpath(await mkdtemp(join(tmpdir(), 'drover-slots-')));
  folders.push(above);
  const root = join(above, 'root');
  for (const version of ['1.0.0', '1.1.0']) {
    await mkdir(join(root, 'releases', version, 'bin'), { recursive: true });
    await mkdir(join(root, 'bases'), { recursive: true });
    await writeFile(join(root, 'releases', version, 'bin/run'), version);
    await writeFile(join(root, 'bases', version), '');
  }
  return root;
}

const codeOf = (slot: Slot): string =>
  slot.kind === 'foreign' || slot.kind === 'lost' ? slot.problem.code : slot.kind;

type Make = (root: string) => Promise<unknown>;
const leads =
  (text: string): Make =>
  (root) =>
    symlink(text.replaceAll('ROOT', root), join(root, 'active'));

/** Each is release 1.1.0, whatever its spelling. */
const RELEASES: readonly [string, Make][] = [
  ['as Drover writes it', leads('releases/1.1.0')],
  ['absolute', leads('ROOT/releases/1.1.0')],
  ['with ./', leads('./releases/1.1.0')],
  ['with a slash at the end', leads('releases/1.1.0/')],
  ['with more slashes', leads('releases//1.1.0//')],
  ['there and back', leads('releases/../releases/1.1.0')],
  ['by way of the folder above', leads('../root/releases/1.1.0')],
  [
    'through another link',
    async (root) => {
      await symlink('releases/1.1.0', join(root, 'current'));
      await leads('current')(root);
    },
  ],
  [
    'through a link outside of the root',
    async (root) => {
      await symlink('root/releases/1.1.0', join(root, '../über'));
      await leads('../über')(root);
    },
  ],
  [
    'to a release that is itself a link',
    async (root) => {
      await rm(join(root, 'releases/1.1.0'), { recursive: true });
      await mkdir(join(root, '../disk'));
      await symlink('../../disk', join(root, 'releases/1.1.0'));
      await leads('releases/1.1.0')(root);
    },
  ],
  [
    'straight to what a release leads to',
    async (root) => {
      await rm(join(root, 'releases/1.1.0'), { recursive: true });
      await mkdir(join(root, '../disk'));
      await symlink('../../disk', join(root, 'releases/1.1.0'));
      await leads('../disk')(root);
    },
  ],
];

const FOREIGN: readonly [string, string, Make][] = [
  [
    'SLOT_OUTSIDE',
    'leads out of the root',
    async (root) => {
      await mkdir(join(root, '../elsewhere'));
      await leads('../elsewhere')(root);
    },
  ],
  ['SLOT_NAME', 'leads below a release', leads('releases/1.1.0/bin')],
  ['SLOT_NAME', 'leads to all releases', leads('releases')],
  [
    'SLOT_NAME',
    'leads to a name that is no version',
    async (root) => {
      await mkdir(join(root, 'releases/latest'));
      await leads('releases/latest')(root);
    },
  ],
  ['SLOT_DANGLING', 'leads to nothing', leads('/nowhere/1.1.0')],
  ['RELEASE_LOST', 'leads to a release that is gone', leads('releases/9.9.9')],
  [
    'SLOT_NOT_UTF8',
    'leads over a name that is not UTF-8',
    async (root) => {
      await symlink('releases/1.1.0', Buffer.from(`${root}/a\xff`, 'latin1'));
      await symlink(Buffer.from('a\xff', 'latin1'), join(root, 'active'));
    },
  ],
  [
    'SLOT_NOT_UTF8',
    'leads to a release whose real name is not UTF-8',
    async (root) => {
      const real = Buffer.from(`${root}/caf\xe9`, 'latin1');
      await rename(join(root, 'releases/1.1.0'), real);
      const text = Buffer.from('../caf\xe9', 'latin1');
      await symlink(text, join(root, 'releases/1.1.0'));
      await leads('releases/1.1.0')(root);
    },
  ],
  ['SLOT_LOOP', 'leads to itself', leads('active')],
  ['SLOT_FOLDER', 'is a folder', (root) => mkdir(join(root, 'active'))],
  ['SLOT_NO_RELEASE', 'is a file', (root) => writeFile(join(root, 'active'), '')],
  ['SLOT_NO_RELEASE', 'leads to a file', leads('releases/1.1.0/bin/run')],
];

describe('a slot', () => {
  for (const [how, make] of RELEASES) {
    it(`is the release that it leads to, ${how}, and nothing of it is removed`, async () => {
      const root = await makeRoot();
      await make(root);
      const layout = layoutOf(root);
      const { active } = await readSlots(realDisk, layout);
      assert.equal(versionOf(active), '1.1.0', JSON.stringify(active));
      const before = await realpath(layout.active);
      await pruneReleases(realDisk, layout, null);
      assert.equal(await realpath(layout.active), before);
      assert.deepEqual(await realDisk.list(layout.releases), ['1.1.0']);
    });
  }

  for (const [code, how, make] of FOREIGN) {
    it(`is ${code} when it ${how}, and then nothing is removed or swapped`, async () => {
      const root = await makeRoot();
      await make(root);
      const layout = layoutOf(root);
      const { active } = await readSlots(realDisk, layout);
      assert.equal(codeOf(active), code);
      const before = await realDisk.list(layout.releases);
      await pruneReleases(realDisk, layout, null);
      assert.deepEqual(await realDisk.list(layout.releases), before);
      if (active.kind !== 'foreign') return;
      const identity = await realDisk.identity(layout.active);
      await assert.rejects(swapTo(realDisk, layout, { version: '1.0.0' }), { code });
      for (const previous of [null, '1.0.0']) {
        const back = swapBack(realDisk, layout, { version: '1.1.0', previous });
        // It may be the version that has to go: that is not left unsaid.
        if (code === 'SLOT_NOT_UTF8') await assert.rejects(back, { code: 'ROLLBACK_FAILED' });
        else await back;
      }
      assert.equal(await realDisk.identity(layout.active), identity);
    });
  }

  it('is the same in a root that is reached through a link or with a slash at its end', async () => {
    const root = await makeRoot();
    await leads('ROOT/releases/1.1.0')(root);
    await symlink('root', join(root, '../alias'));
    for (const path of [`${root}/`, join(root, '../alias'), `${root}/../alias/`]) {
      const { active } = await readSlots(realDisk, layoutOf(path));
      assert.equal(versionOf(active), '1.1.0', path);
    }
  });

  it('keeps the release of an absolute rollback, and one that Drover has no record of', async () => {
    const root = await makeRoot();
    const layout = layoutOf(root);
    await leads('releases/1.1.0')(root);
    await symlink(join(root, 'releases/1.0.0'), layout.rollback);
    for (const name of ['0.9.0', 'notes']) await mkdir(join(layout.releases, name));
    await symlink('1.0.0', join(layout.releases, '0.8.0'));
    const left = await pruneReleases(realDisk, layout, null);
    const kept = ['0.8.0', '0.9.0', '1.0.0', '1.1.0', 'notes'];
    assert.deepEqual(await realDisk.list(layout.releases), kept);
    assert.deepEqual(
      left.map(({ name }) => name),
      ['0.8.0', '0.9.0', 'notes'],
    );
  });

  it('never removes an active link that Drover did not make when it goes back to nothing', async () => {
    const root = await makeRoot();
    const layout = layoutOf(root);
    await leads('ROOT/releases/1.1.0')(root);
    const back = swapBack(realDisk, layout, { version: '1.1.0', previous: null });
    await assert.rejects(back, { code: 'ROLLBACK_FAILED' });
    assert.equal(await realDisk.kind(layout.active), 'link');
  });
});

const SIBLINGS: readonly [string, (app: string, nav: string) => Promise<unknown>][] = [
  ['a link of a person', (app, nav) => symlink(`${app}/releases/1.0.0`, join(nav, 'active'))],
  ['its rollback', (app, nav) => symlink(`${app}/releases/1.0.0`, join(nav, 'rollback'))],
  ['a folder in it', (app, nav) => symlink(`${app}/releases/1.0.0/bin`, join(nav, 'active'))],
  [
    'a release that is a link there',
    async (app, nav) => {
      await mkdir(join(nav, 'releases'));
      await symlink(`${app}/releases/1.0.0`, join(nav, 'releases/0.0.0'));
      await symlink('releases/0.0.0', join(nav, 'active'));
    },
  ],
];

describe('a release that another component of the robot boots', () => {
  for (const [how, make] of SIBLINGS) {
    it(`is neither removed nor replaced: ${how}`, async () => {
      const root = await makeRoot();
      const nav = join(root, '../nav');
      await mkdir(nav);
      await make(root, nav);
      await leads('releases/1.1.0')(root);
      const layout = layoutOf(root, [root, nav]);
      const left = await pruneReleases(realDisk, layout, null);
      assert.deepEqual(await realDisk.list(layout.releases), ['1.0.0', '1.1.0']);
      assert.match(left.find(({ name }) => name === '1.0.0')?.why ?? '', /another component/);
      const admitted = assertAdmissible(realDisk, layout, '1.0.0');
      await assert.rejects(admitted, { code: 'RELEASE_IN_THE_WAY' });
      await pruneReleases(realDisk, layoutOf(root, [root]), null);
      assert.deepEqual(await realDisk.list(layout.releases), ['1.1.0'], 'else it goes');
    });
  }

  it('may be each, while the slots of the other cannot be looked at', async () => {
    const root = await makeRoot();
    await leads('releases/1.1.0')(root);
    const disk: Disk = {
      ...realDisk,
      kind: (path) =>
        path.endsWith('/nav/active')
          ? Promise.reject(new DroverError('DISK_WRITE_FAILED', 'stat: EIO'))
          : realDisk.kind(path),
    };
    const nav = join(root, '../nav');
    await mkdir(nav);
    await pruneReleases(disk, layoutOf(root, [root, nav]), null);
    assert.deepEqual(await realDisk.list(join(root, 'releases')), ['1.0.0', '1.1.0']);
  });
});

it('keeps the release of a version that a system slot holds, with its records, as long as one does', async () => {
  const root = await makeRoot();
  await leads('releases/1.0.0')(root);
  const layout = layoutOf(root);
  const left = await pruneReleases(realDisk, layout, null, [], ['1.1.0']);
  assert.deepEqual(await realDisk.list(layout.releases), ['1.0.0', '1.1.0']);
  assert.deepEqual(left, [{ name: '1.1.0', why: 'a system slot holds its image' }]);
  await rm(join(layout.releases, '1.1.0'), { recursive: true });
  await pruneReleases(realDisk, layout, null, [], ['1.1.0']);
  assert.deepEqual(await realDisk.list(layout.bases), ['1.0.0', '1.1.0'], 'it may be made again');
  await pruneReleases(realDisk, layout, null);
  assert.deepEqual(await realDisk.list(layout.bases), ['1.0.0']);
});

it('does not say of a release that an update is about to swap in that it will be removed', async () => {
  const root = await makeRoot();
  await symlink('releases/1.0.0', join(root, 'active'));
  const left = (target: string | null) => listLeft(realDisk, layoutOf(root), target);
  assert.deepEqual(await left('1.1.0'), []);
  assert.deepEqual(
    (await left(null)).map(({ name }) => name),
    ['1.1.0'],
  );
});
