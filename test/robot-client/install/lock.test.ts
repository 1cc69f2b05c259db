import assert from 'node:assert/strict';
import { chmod, mkdir, open, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runHook } from '../../../robot-client/install/hooks.ts';
import { isLocked } from '../../../robot-client/install/kernel-locks.ts';
import { lockRoot } from '../../../robot-client/install/lock.ts';
import { flock } from '../../../robot-client/install/path-lock.ts';
import { assertRootsApart } from '../../../robot-client/install/roots-apart.ts';
import { startChild, type Child } from '../../helpers/child.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import type { Scope } from '../../helpers/scope.ts';
import { findPeer } from '../../helpers/peer.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const MODULE = new URL('../../../robot-client/install/lock.js', import.meta.url).href;

/** A process that locks a root, prints `locked` or the code of its refusal, and stays. */
function holder(scope: Scope, root: string, under: readonly string[] = []): Child {
  const script = `
    const { lockRoot } = await import(${JSON.stringify(MODULE)});
    try { await lockRoot(${JSON.stringify(root)}); console.log('locked'); }
    catch (thrown) { console.log(thrown.code); }
    setInterval(() => {}, 1e6);`;
  const args = ['--input-type=module', '--eval', script];
  return startChild(scope, process.execPath, args, { under });
}

async function refusal(root: string): Promise<string> {
  try {
    (await lockRoot(root)).release();
    return 'locked';
  } catch (thrown) {
    return (thrown as { code: string }).code;
  }
}

describe('the lock of a root', () => {
  it('has one holder, also one that is stopped, and is free when that is killed', async (t) => {
    const root = join(await tempFolder(t), 'deep/root');
    const first = holder(t, root);
    await first.waitForOutput(/locked/);
    assert.equal(await refusal(root), 'ROBOT_ALREADY_RUNNING');
    first.kill('SIGSTOP');
    assert.equal(await refusal(root), 'ROBOT_ALREADY_RUNNING');
    first.kill('SIGKILL');
    await first.exit;
    assert.equal(await refusal(root), 'locked');
  });

  it('is seen by a process that only asks, and that takes no lock for it', async (t) => {
    const root = await tempFolder(t);
    assert.equal(isLocked(root), false);
    const lock = await lockRoot(root);
    assert.equal(isLocked(root), true);
    lock.release();
    assert.equal(isLocked(root), false);
    assert.equal(isLocked(join(root, 'absent')), false);
  });

  it('has exactly one winner of four that come at one instant', async (t) => {
    const root = join(await tempFolder(t), 'root');
    const all = [1, 2, 3, 4].map(() => holder(t, root));
    await Promise.all(all.map((one) => one.waitForOutput(/locked|[A-Z_]{5,}/)));
    const said = all.map((one) => one.stdout.trim()).sort();
    assert.deepEqual(said, [...Array<string>(3).fill('ROBOT_ALREADY_RUNNING'), 'locked']);
  });

  it('outlives a state folder that was removed, and holds for that folder alone', async (t) => {
    const root = await tempFolder(t);
    await mkdir(join(root, 'state'));
    const lock = await lockRoot(root);
    assert.equal(await refusal(join(root, 'state')), 'ROBOT_ALREADY_RUNNING');
    await rm(join(root, 'state'), { recursive: true });
    await mkdir(join(root, 'state'));
    assert.equal(await refusal(root), 'ROBOT_ALREADY_RUNNING');
    lock.release();
    lock.release();
    assert.equal(await refusal(root), 'locked');
  });

  it('is not kept by a daemon that a hook left behind', async (t) => {
    const root = await tempFolder(t);
    const hooks = await tempFolder(t);
    const script = `#!/bin/sh\nsleep 300 & echo $! > ${root}/daemon\n`;
    await writeFile(join(hooks, 'start'), script);
    await chmod(join(hooks, 'start'), 0o755);
    const lock = await lockRoot(root);
    await runHook({ folder: hooks, name: 'start', timeoutMs: 60_000, env: {} });
    const pid = Number(await readFile(join(root, 'daemon'), 'utf8'));
    t.after(() => void process.kill(pid, 'SIGKILL'));
    lock.release();
    assert.equal(await refusal(root), 'locked');
    process.kill(pid, 0);
  });

  it('says what to install where there is no flock', async (t) => {
    const root = await tempFolder(t);
    const path = process.env['PATH'];
    t.after(() => void (process.env['PATH'] = path));
    process.env['PATH'] = root;
    assert.equal(await refusal(root), 'FLOCK_MISSING');
  });

  it('says so when the system refuses to start flock', async (t) => {
    const root = await tempFolder(t);
    const path = process.env['PATH'];
    t.after(() => void (process.env['PATH'] = path));
    process.env['PATH'] = root;
    await writeFile(join(root, 'flock'), '#!/bin/sh\n', { mode: 0o755 });
    const busy = await open(join(root, 'flock'), 'r+'); // ETXTBSY, which Node throws as it does ENOMEM
    t.after(() => busy.close());
    await assert.rejects(flock(busy.fd, root), { code: 'ROOT_LOCK_FAILED' });
  });

  it('holds between mount namespaces that share the folder under other paths', async (t) => {
    if (process.getuid?.() !== 0 || findPeer('unshare') === null) return t.skip('wants root');
    const [folder, elsewhere] = [await tempFolder(t), await tempFolder(t)];
    const lock = await lockRoot(folder);
    const mount = `mount --bind ${folder} ${elsewhere} && exec "$@"`;
    const under = ['unshare', '--mount', 'sh', '-c', mount, 'sh'];
    const other = holder(t, elsewhere, under);
    await other.waitForOutput(/ROBOT_ALREADY_RUNNING/);
    lock.release();
  });

  it('works on a disk that is read-only', async (t) => {
    if (process.getuid?.() !== 0 || findPeer('unshare') === null) return t.skip('wants root');
    const folder = await tempFolder(t);
    await mkdir(join(folder, 'root/state'), { recursive: true });
    const mount = `mount --bind -o ro ${folder} ${folder} && exec "$@"`;
    const under = ['unshare', '--mount', 'sh', '-c', mount, 'sh'];
    await holder(t, join(folder, 'root'), under).waitForOutput(/locked/);
    assert.equal(await refusal(join(folder, 'root')), 'ROBOT_ALREADY_RUNNING');
    await holder(t, join(folder, 'absent'), under).waitForOutput(/DISK_READ_ONLY/);
  });
});

describe('the roots of one robot', () => {
  it('are refused when they are one folder, or one lies in the other', async (t) => {
    const folder = await tempFolder(t);
    await mkdir(join(folder, 'app'));
    await symlink('app', join(folder, 'link'));
    const roots = (second: string) => [
      { component: 'app', root: join(folder, 'app') },
      { component: 'nav', root: join(folder, second) },
    ];
    const refused = (second: string, words: RegExp): void =>
      assertRefused('ROOTS_OVERLAP', () => assertRootsApart(roots(second)), words);
    refused('link', /app and nav are the same folder/);
    refused('app/releases/not-there', /lie in each other/);
    refused('link/nav', /lie in each other/);
    refused('.', /lie in each other/);
    assertRootsApart(roots('app2'));
    assertRootsApart(roots('not/there'));
  });

  for (const [link, to] of [
    ['releases', '../app/releases'],
    ['releases', '../app/releases/nav'],
    ['seals', '../app/seals'],
    ['staging', '../app/staging'],
    ['releases', '../app'],
    ['releases', '../data/releases'],
  ] as const) {
    it(`are refused when ${link}/ of one leads to ${to}`, async (t) => {
      const folder = await tempFolder(t);
      for (const path of ['data/releases/nav', 'app/staging', 'app/seals', 'nav']) {
        await mkdir(join(folder, path), { recursive: true });
      }
      await symlink('../data/releases', join(folder, 'app/releases'));
      const roots = [
        { component: 'app', root: join(folder, 'app') },
        { component: 'nav', root: join(folder, 'nav') },
      ];
      assertRootsApart(roots);
      await symlink(to, join(folder, 'nav', link));
      assertRefused('ROOTS_OVERLAP', () => assertRootsApart(roots), /app and nav share a folder/);
    });
  }

  it('may have their folders beside each other on one disk', async (t) => {
    const folder = await tempFolder(t);
    for (const name of ['app', 'nav']) {
      await mkdir(join(folder, name));
      for (const part of ['releases', 'staging', 'state']) {
        await mkdir(join(folder, 'data', name, part), { recursive: true });
        await symlink(`../data/${name}/${part}`, join(folder, name, part));
      }
    }
    assertRootsApart(
      ['app', 'nav'].map((component) => ({ component, root: join(folder, component) })),
    );
  });

  it('are refused when a bind mount makes one releases folder of two', async (t) => {
    if (process.getuid?.() !== 0 || findPeer('unshare') === null) return t.skip('wants root');
    const folder = await tempFolder(t);
    const [app, nav] = [join(folder, 'app'), join(folder, 'nav')];
    for (const root of [app, nav]) await mkdir(join(root, 'releases'), { recursive: true });
    const lock = await lockRoot(app);
    t.after(() => lock.release());
    const mount = `mount --bind ${app}/releases ${nav}/releases && exec "$@"`;
    const under = ['unshare', '--mount', 'sh', '-c', mount, 'sh'];
    await holder(t, nav, under).waitForOutput(/ROBOT_ALREADY_RUNNING/);
  });
});

describe('the lock of releases/', () => {
  it('refuses an agent with another root whose releases/ is the same folder', async (t) => {
    const folder = await tempFolder(t);
    const [one, other] = [join(folder, 'one'), join(folder, 'other')];
    const lock = await lockRoot(one);
    await mkdir(join(one, 'releases'));
    await lock.takeReleases(); // made after the root was locked, as at a first start
    await mkdir(other);
    await symlink('../one/releases', join(other, 'releases'));
    assert.equal(await refusal(other), 'ROBOT_ALREADY_RUNNING');
    assert.equal(await refusal(join(folder, 'third')), 'locked');
    lock.release();
    assert.equal(await refusal(other), 'locked');
  });

  it('is none where no folder can be found there, and no reason to fail', async (t) => {
    const folder = await tempFolder(t);
    for (const [name, to] of [
      ['loop', 'releases'],
      ['gone', '/nowhere'],
    ] as const) {
      await mkdir(join(folder, name));
      await symlink(to, join(folder, name, 'releases'));
      assert.equal(await refusal(join(folder, name)), 'locked', name);
    }
    await writeFile(join(folder, 'file'), '');
    const names = ['loop', 'gone', 'file'];
    assertRootsApart(names.map((component) => ({ component, root: join(folder, component) })));
  });

  it('is no lock on itself where releases/ is the root', async (t) => {
    const root = await tempFolder(t);
    await symlink('.', join(root, 'releases'));
    assert.equal(await refusal(root), 'locked');
  });
});
