/** Programs and folders that another user may change: they are not run, and no update begins. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runBootProgram } from '../../../robot-client/boot/run-program.ts';
import { OwnerWatch } from '../../../robot-client/fleet/owner-watch.ts';
import { QUIET, reportComponent, type ComponentView } from '../../../robot-client/fleet/report.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { describeHook, runHook } from '../../../robot-client/install/hooks.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { prepareLayout } from '../../../robot-client/install/make-root.ts';
import { readSlots } from '../../../robot-client/install/read-slots.ts';
import { SearchPath } from '../../../robot-client/install/search-path.ts';
import { ModuleFolder } from '../../../robot-client/modules/module-folder.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

const silentLog = makeLog('test', 'silent');

async function makeProgram(folder: string, name: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o755);
  await writeFile(join(folder, name), '#!/bin/sh\ntouch "$(dirname "$0")/ran"\n', { mode: 0o755 });
  return join(folder, name);
}

describe('a program that another user may replace', () => {
  it('is no hook that ran, and in such a folder an absent hook is none either', async (t) => {
    const folder = join(await tempFolder(t), 'hooks');
    const path = await makeProgram(folder, 'health');
    const run = { folder, timeoutMs: 10_000, env: {} };
    for (const [place, mode] of [
      [path, 0o757],
      [folder, 0o777],
    ] as const) {
      await chmod(place, mode);
      const result = await runHook({ ...run, name: 'health' });
      const words = `hook health: ${place} may be written by others (mode ${mode.toString(8)}): chmod go-w ${place} (PROGRAM_UNSAFE)`;
      assert.deepEqual([result.kind, describeHook(result)], ['failed', words]);
      await chmod(path, 0o755);
    }
    assert.equal((await runHook({ ...run, name: 'ready' })).kind, 'failed');
    assert.equal(existsSync(join(folder, 'ran')), false);
    await chmod(folder, 0o775);
    assert.equal((await runHook({ ...run, name: 'health' })).kind, 'ok', 'a group is told of only');
    assert.equal((await runHook({ ...run, name: 'ready' })).kind, 'absent');
  });

  it('is no module and no program of the boot side that ran', async (t) => {
    const folder = join(await tempFolder(t), 'programs');
    const path = await makeProgram(folder, 'flash');
    const root = await tempFolder(t);
    await mkdir(join(root, 'state'));
    await chmod(path, 0o757);
    const verb = { module: 'flash', verb: 'switch', root, timeoutMs: 10_000, env: {} } as const;
    const { result } = await new ModuleFolder(folder).run(verb);
    assert.equal(result.kind === 'failed' && result.code, 'PROGRAM_UNSAFE');
    await assert.rejects(runBootProgram(path, []), { code: 'PROGRAM_UNSAFE' });
    assert.equal(existsSync(join(folder, 'ran')), false);
  });
});

describe('the folders that an agent makes', () => {
  it('are for others to read alone under a umask of 0, and older ones are shut', async (t) => {
    const root = join(await tempFolder(t), 'a', 'root');
    const layout = layoutOf(root);
    const before = process.umask(0);
    try {
      await prepareLayout(realDisk, layout);
    } finally {
      process.umask(before);
    }
    const folders = [root, layout.releases, layout.state, layout.staging, layout.seals];
    for (const folder of [...folders, join(root, '..')]) {
      assert.equal(await modeOf(folder), 0o755, folder);
    }
    for (const folder of folders) await chmod(folder, 0o777);
    await chmod(layout.bases, 0o775); // a group that was given the right keeps it
    await prepareLayout(realDisk, layout);
    for (const folder of folders) assert.equal(await modeOf(folder), 0o755, folder);
    assert.equal(await modeOf(layout.bases), 0o775);
  });
});

describe('the watch over owners', () => {
  it('names what is unsafe for each component, and lets no update of it begin', async (t) => {
    const home = await tempFolder(t);
    const [hooksFolder, trustFile] = [join(home, 'hooks'), join(home, 'trust.json')];
    const hook = await makeProgram(hooksFolder, 'health');
    await writeFile(trustFile, '');
    const roots = ['app', 'map'].map((component) => ({ component, root: join(home, component) }));
    for (const { root } of roots) await prepareLayout(realDisk, layoutOf(root));
    const at = { now: 5, changes: 0 };
    const secret = join(home, 'identity.pem');
    await writeFile(secret, 'a key', { mode: 0o600 });
    const watch = new OwnerWatch({
      ...{ roots, hooksFolder, trustFile, log: silentLog, now: () => at.now },
      secretFiles: [secret, join(home, 'absent')],
      onChange: () => void (at.changes += 1),
    });
    const views = roots.map(({ component }) => ({ name: component }) as unknown as ComponentView);
    const codes = async (): Promise<(string | null)[]> => {
      await watch.look();
      return watch.over(views).map(({ exposed }) => exposed?.problem.code ?? null);
    };
    const begins = (component: string): Promise<string> =>
      watch.assertOwn(component).then(
        () => 'begins',
        (thrown: { readonly code: string }) => thrown.code,
      );
    assert.deepEqual([await codes(), watch.warned], [[null, null], []]);
    assert.equal(await begins('app'), 'begins');

    await chmod(join(home, 'map', 'releases'), 0o777);
    assert.deepEqual(await codes(), [null, 'ROOT_UNSAFE']);
    assert.deepEqual([await begins('app'), await begins('map')], ['begins', 'ROOT_UNSAFE']);
    await chmod(join(home, 'map', 'releases'), 0o755);

    await chmod(trustFile, 0o666);
    assert.deepEqual(await codes(), ['TRUST_UNSAFE', 'TRUST_UNSAFE']);
    at.now = 9; // told as long as it lasts, since when it was seen first
    await codes();
    assert.equal(watch.over(views)[0]?.exposed?.atMs, 5);
    assert.equal(await begins('app'), 'TRUST_UNSAFE');
    await chmod(trustFile, 0o644);

    await chmod(hook, 0o775);
    assert.deepEqual([await codes(), await begins('app')], [[null, null], 'begins']);
    assert.deepEqual(watch.warned, [
      `hook health: ${hook} may be written by its group (mode 775): chmod go-w ${hook}`,
    ]);
    await chmod(hooksFolder, 0o777);
    assert.deepEqual(await codes(), ['PROGRAM_UNSAFE', 'PROGRAM_UNSAFE']);
    assert.equal(at.changes, 4, 'each change is reported once');
    await chmod(secret, 0o644);
    await codes();
    assert.match(watch.warned.join(), /identity.pem is open to others \(mode 644\): chmod 600 /);
  });

  it('tells of a folder that is left out of PATH, and lets updates begin', async (t) => {
    const home = await tempFolder(t);
    const root = join(home, 'app');
    await prepareLayout(realDisk, layoutOf(root));
    const searchPath = new SearchPath(silentLog, { PATH: '/tmp:/usr/bin' });
    t.after(() => new SearchPath(silentLog, { PATH: '/usr/bin' }).look());
    let changes = 0;
    const onChange = (): void => void (changes += 1);
    const options = { roots: [{ component: 'app', root }], hooksFolder: join(home, 'hooks') };
    const watch = new OwnerWatch({ ...options, searchPath, log: silentLog, onChange });
    await watch.assertOwn('app');
    await watch.look();
    const slots = await readSlots(realDisk, layoutOf(root));
    const view = { name: 'app', version: null, previousVersion: null, slots, slotsSinceMs: 0 };
    const quiet = { ...view, left: [], state: freshState(), live: QUIET };
    const [told] = watch.over([quiet]).map((one) => reportComponent(one).last_error);
    assert.equal(told?.code, 'PATH_UNSAFE');
    assert.equal(changes, 1);
  });

  it('warns of a root and of a hook of another user, and goes on with them', async (t) => {
    if (process.geteuid?.() !== 0) return t.skip('only root gives a file away');
    const home = await tempFolder(t);
    const hooksFolder = join(home, 'hooks');
    const hook = await makeProgram(hooksFolder, 'health');
    const root = join(home, 'app');
    await prepareLayout(realDisk, layoutOf(root));
    await chown(root, 65_534, 65_534);
    const roots = [{ component: 'app', root }];
    const watch = new OwnerWatch({ roots, hooksFolder, log: silentLog, onChange: () => {} });
    await watch.look();
    const line = `root of app: ${root} belongs to another user (uid 65534): chown 0 ${root}`;
    assert.deepEqual(watch.warned, [line]);
    await watch.assertOwn('app');
    await chown(hook, 65_534, 65_534);
    await watch.look();
    assert.equal(watch.warned.length, 2);
    assert.match(watch.warned.join('\n'), /^hook health: .* belongs to another user/m);
    await watch.assertOwn('app');
  });
});
