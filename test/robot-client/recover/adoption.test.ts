/**
 * An adoption checks everything before it changes anything, and `adopt` takes over more than an
 * agent does by itself.
 */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { adoptRoots } from '../../../robot-client/commands/adopt-roots.ts';
import { layoutOf, type Layout } from '../../../robot-client/install/layout.ts';
import type { Disk } from '../../../robot-client/install/disk-port.ts';
import { outsideProblems, versionOf } from '../../../robot-client/install/slots.ts';
import { adoptActiveFolder } from '../../../robot-client/recover/adopt.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { readSlots } from '../../../robot-client/install/read-slots.ts';
import { prepareLayout } from '../../../robot-client/install/make-root.ts';
import { adoptRoot } from '../../../robot-client/recover/adopt-root.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { cuttingDisk, PowerCut } from '../cutting-disk.ts';

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

async function makeRoot(plain: readonly ('active' | 'rollback')[]): Promise<Layout> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'drover-adopt-')));
  folders.push(root);
  const layout = layoutOf(root);
  await prepareLayout(realDisk, layout);
  for (const slot of plain) {
    await mkdir(join(layout[slot], 'bin'), { recursive: true });
    await writeFile(join(layout[slot], 'bin/run'), slot, { mode: 0o750 });
  }
  return layout;
}

const runs = (layout: Layout, slot: 'active' | 'rollback' = 'active'): Promise<string> =>
  readFile(join(layout[slot], 'bin/run'), 'utf8');

const versions = async (layout: Layout): Promise<(string | null)[]> => {
  const { active, rollback } = await readSlots(realDisk, layout);
  return [versionOf(active), versionOf(rollback)];
};

/** A rename of a folder of the lower layer of an overlay. */
const overlaid: Disk = {
  ...realDisk,
  rename: async (from, to) => {
    if (!/\/(?:active|rollback)$/.test(from)) return realDisk.rename(from, to);
    const cause = Object.assign(new Error('cross-device link'), { code: 'EXDEV' });
    throw new DroverError('DISK_WRITE_FAILED', `rename ${from}: EXDEV`, { cause });
  },
};

const REFUSALS: readonly [string, string, Partial<Disk>][] = [
  ['has five inodes left', 'DISK_FULL', { free: async () => ({ bytes: 1e9, inodes: 5 }) }],
  ['is full', 'DISK_FULL', { free: async () => ({ bytes: 4096, inodes: null }) }],
  [
    'has no links',
    'ADOPT_IMPOSSIBLE',
    {
      symlink: async (_, path) => {
        throw new DroverError('DISK_WRITE_FAILED', `link ${path}: EPERM`);
      },
    },
  ],
  [
    'does not let the folder go',
    'ADOPT_IMPOSSIBLE',
    {
      rename: async (from, to) => {
        if (!from.endsWith('/active')) return realDisk.rename(from, to);
        throw new DroverError('DISK_WRITE_FAILED', `rename ${from}: EBUSY`);
      },
    },
  ],
];

describe('adoption', () => {
  for (const [how, code, part] of REFUSALS) {
    it(`leaves active as it is and says ${code} on a file system that ${how}`, async () => {
      const layout = await makeRoot(['active']);
      const { adopted, problem } = await adoptActiveFolder(
        { ...realDisk, ...part },
        layout,
        '0.0.0',
      );
      assert.deepEqual([adopted, problem?.code], [null, code]);
      assert.equal(await realDisk.kind(layout.active), 'folder');
      assert.equal(await runs(layout), 'active');
      assert.deepEqual(await realDisk.list(layout.releases), []);
      assert.equal(await realDisk.kind(layout.adoptFile), 'absent');
      assert.equal(await realDisk.kind(`${layout.active}.new`), 'absent');
    });
  }

  it('takes a plain rollback beside it as the release to go back to', async () => {
    const layout = await makeRoot(['active', 'rollback']);
    await adoptActiveFolder(realDisk, layout, '0.7.0');
    assert.deepEqual(await versions(layout), ['0.7.0', '0.0.0-rollback']);
    assert.equal(await runs(layout), 'active');
    assert.equal(await runs(layout, 'rollback'), 'rollback');
  });

  it('copies what cannot be renamed, with its modes, wherever it is cut', async () => {
    for (let cutAt = 1; ; cutAt += 3) {
      const layout = await makeRoot(['active', 'rollback']);
      const cutting = cuttingDisk(cutAt);
      const rename: Disk['rename'] = async (from, to) => {
        if (/\/(?:active|rollback)$/.test(from)) return overlaid.rename(from, to);
        return cutting.rename(from, to);
      };
      let isCut = false;
      try {
        await adoptActiveFolder({ ...cutting, rename }, layout, '0.0.0');
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
        isCut = true;
      }
      const { problem } = await adoptActiveFolder(overlaid, layout, '0.0.0');
      assert.equal(problem, null, `cut at ${cutAt}`);
      assert.deepEqual(await versions(layout), ['0.0.0', '0.0.0-rollback'], `cut at ${cutAt}`);
      assert.equal(await runs(layout), 'active');
      assert.equal(await runs(layout, 'rollback'), 'rollback');
      assert.equal(await realDisk.kind(layout.adoptFile), 'absent');
      if (!isCut) return;
    }
  });

  it('sets a damaged intent aside, and goes on from the link that was made', async () => {
    const layout = await makeRoot([]);
    await mkdir(join(layout.releases, '0.0.0/bin'), { recursive: true });
    await writeFile(join(layout.releases, '0.0.0/bin/run'), 'active');
    await symlink('releases/0.0.0', `${layout.active}.new`);
    await writeFile(layout.adoptFile, '{');
    const { problem } = await adoptActiveFolder(realDisk, layout, '0.0.0');
    assert.equal(problem?.code, 'STATE_CORRUPT');
    assert.equal(await runs(layout), 'active');
    assert.equal(await realDisk.kind(`${layout.adoptFile}.corrupt`), 'file');
  });

  it('believes no intent that names a release which was installed, and links nothing by it', async () => {
    for (const record of ['bases', 'seals'] as const) {
      const layout = await makeRoot([]);
      await mkdir(join(layout.releases, '1.0.0/bin'), { recursive: true });
      await writeFile(join(layout[record], '1.0.0'), 'a record');
      await symlink('releases/1.0.0', `${layout.active}.new`);
      await writeFile(layout.adoptFile, JSON.stringify({ version: '1.0.0' }));
      const { adopted, problem } = await adoptActiveFolder(realDisk, layout, '0.0.0');
      assert.deepEqual([adopted, problem?.code], [null, 'STATE_CORRUPT'], record);
      assert.equal(await realDisk.kind(layout.active), 'absent', record);
      assert.equal(await realDisk.kind(`${layout.active}.new`), 'absent', record);
      assert.equal(await realDisk.kind(layout.adoptFile), 'absent', record);
    }
  });

  it('says nothing of an intent that comes back after its end, or names nothing', async () => {
    for (const version of ['0.0.0', '9.9.9']) {
      const layout = await makeRoot(['active']);
      await adoptActiveFolder(realDisk, layout, '0.0.0');
      await writeFile(layout.adoptFile, JSON.stringify({ version }));
      const again = await adoptActiveFolder(realDisk, layout, '0.0.0');
      assert.deepEqual(again, { adopted: null, problem: null }, version);
      assert.deepEqual(await versions(layout), ['0.0.0', null], version);
    }
  });

  it('never touches a plain folder beside releases', async () => {
    const layout = await makeRoot(['active']);
    await mkdir(join(layout.releases, '1.0.0'));
    const { adopted } = await adoptActiveFolder(realDisk, layout, '0.0.0');
    assert.equal(adopted, null);
    assert.equal(await realDisk.kind(layout.active), 'folder');
  });
});

const TAKEOVERS: readonly [string, (layout: Layout) => Promise<unknown>, string | null][] = [
  ['a plain folder', ({ active }) => mkdir(active), '0.0.0'],
  [
    'a link that leads outside',
    async ({ root, active }) => {
      await mkdir(`${root}/elsewhere`);
      await symlink('elsewhere', active);
    },
    '0.0.0',
  ],
  [
    'a link to a name that is no version',
    async ({ releases, active }) => {
      await mkdir(`${releases}/latest`);
      await symlink('releases/latest', active);
    },
    '0.0.0',
  ],
  ['a link that leads to nothing', ({ active }) => symlink('/nowhere', active), '1.0.0'],
  ['a link to itself', ({ active }) => symlink('active', active), '1.0.0'],
  ['a file', ({ active }) => writeFile(active, ''), '1.0.0'],
];

describe('drover-robot adopt', () => {
  for (const [what, make, expected] of TAKEOVERS) {
    it(`takes over ${what}, says it before, and removes nothing`, async () => {
      const layout = await makeRoot([]);
      await mkdir(join(layout.releases, '1.0.0'));
      await symlink('releases/1.0.0', layout.rollback);
      await make(layout);
      const before = await realDisk.identity(layout.active);
      const input = { version: '0.0.0', isDryRun: true };
      const dry = await adoptRoot(realDisk, layout, input);
      assert.equal(await realDisk.identity(layout.active), before);
      const done = await adoptRoot(realDisk, layout, { ...input, isDryRun: false });
      assert.deepEqual([done.actions.length, dry.actions.length], [1, 1]);
      assert.match(dry.actions[0] ?? '', /^active: (move|copy|make|rename) /);
      assert.match(done.actions[0] ?? '', /^active: .*(was |is a link)/);
      assert.deepEqual([done.active, done.rollback, done.problem], [expected, '1.0.0', null]);
    });
  }

  it('takes a name that is free when releases has that version', async () => {
    const layout = await makeRoot(['active']);
    await mkdir(join(layout.releases, '0.0.0'));
    const { active } = await adoptRoot(realDisk, layout, { version: '0.0.0', isDryRun: false });
    assert.equal(active, '0.0.0-adopted.1');
    assert.equal(await runs(layout), 'active');
  });

  it('copies what stands outside, also where an older adopt left a link to it', async () => {
    const layout = await makeRoot([]);
    const other = join(layout.root, 'other/releases/1.1.0');
    await mkdir(other, { recursive: true });
    await writeFile(join(other, 'run'), 'other');
    await symlink(other, join(layout.releases, '0.0.0'));
    await symlink('releases/0.0.0', layout.active);
    const before = await readSlots(realDisk, layout);
    assert.equal(outsideProblems(before)[0]?.code, 'SLOT_OUTSIDE');
    assert.equal(versionOf(before.active), '0.0.0', 'it is read and boots as before');
    const { active } = await adoptRoot(realDisk, layout, { version: '0.0.0', isDryRun: false });
    assert.equal(active, '0.0.0-adopted.1');
    assert.equal(await readFile(join(other, 'run'), 'utf8'), 'other', 'the original stays');
    await rm(join(layout.root, 'other'), { recursive: true });
    assert.equal(await readFile(join(layout.active, 'run'), 'utf8'), 'other');
    assert.deepEqual(outsideProblems(await readSlots(realDisk, layout)), []);
  });

  it('copies nothing that the root itself lies in', async () => {
    const layout = await makeRoot([]);
    await symlink('..', layout.active);
    for (const isDryRun of [true, false]) {
      const done = adoptRoot(realDisk, layout, { version: '0.0.0', isDryRun });
      await assert.rejects(done, { code: 'ADOPT_IMPOSSIBLE' });
    }
    assert.deepEqual(await realDisk.list(layout.releases), []);
  });

  it('says in a dry run what would be done, not what runs', async () => {
    const layout = await makeRoot([]);
    await mkdir(join(layout.root, 'other'));
    await symlink('other', layout.active);
    const roots = [{ component: 'app', root: layout.root }];
    const input = { disk: realDisk, roots, version: '5.0.0', isDryRun: true } as const;
    const { lines } = await adoptRoots(input);
    assert.equal(lines[0], 'app: this would be done');
    assert.match(lines[1] ?? '', /^  active: copy .*\/other to releases\/5\.0\.0/);
  });
});
