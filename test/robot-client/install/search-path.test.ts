/** The folders of PATH: those that another user may change are left out, and told. */

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, open as openFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, it, type TestContext } from 'node:test';
import { runBootProgram } from '../../../robot-client/boot/run-program.ts';
import { describeHook, hookFailure, runHook } from '../../../robot-client/install/hooks.ts';
import { flock } from '../../../robot-client/install/path-lock.ts';
import { judgeSearchPath, SearchPath } from '../../../robot-client/install/search-path.ts';
import { judgeSearched, type Judged } from '../../../shared/io/owned-file.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const SAFE: Judged = { others: null, owner: null, group: null };

async function makeFolder(t: TestContext, mode: number): Promise<string> {
  const folder = join(await tempFolder(t), 'bin');
  await mkdir(folder);
  await writeFile(join(folder, 'zz-tool'), '#!/bin/sh\necho from $0\n', { mode: 0o755 });
  await chmod(folder, mode);
  return folder;
}

const wordsOf = async (text: string | undefined) => {
  const { kept, left, warned } = await judgeSearchPath(text);
  return { kept, left: left.map(({ code, message }) => `${code} ${message}`), warned };
};

describe('a folder of PATH', () => {
  it('is left out when every user may write it, and when it stands for the current folder', async (t) => {
    const [open, shut] = [await makeFolder(t, 0o777), await makeFolder(t, 0o755)];
    const found = await wordsOf(`${open}:bin::.:${shut}:/usr/bin:${shut}`);
    assert.equal(found.kept, `${shut}:/usr/bin`);
    const relative = 'it begins at the current folder: set PATH with absolute folders alone';
    assert.deepEqual(found.left, [
      `PATH_UNSAFE use PATH without ${open}: ${open} may be written by others (mode 777): chmod go-w ${open}`,
      `PATH_UNSAFE use PATH without bin: ${relative}`,
      `PATH_UNSAFE use PATH without its empty entry: ${relative}`,
      `PATH_UNSAFE use PATH without .: ${relative}`,
    ]);
    assert.deepEqual(found.warned, []);
  });

  it('is left out when it is absent and anybody may make it', async () => {
    const { left } = await wordsOf('/tmp/zz-no-such-folder-of-drover/bin:/usr/bin');
    assert.match(
      left.join(),
      /zz-no-such.* is not there, and others may add to \/tmp \(mode 1777\)/,
    );
  });

  it('is left out when it is sticky and others may add a program to it', async (t) => {
    const sticky = await makeFolder(t, 0o1777);
    const { kept, left } = await wordsOf(`/tmp:${sticky}:/usr/bin`);
    assert.equal(kept, '/usr/bin');
    assert.deepEqual(left, [
      'PATH_UNSAFE use PATH without /tmp: others may add to /tmp (mode 1777): set PATH without it',
      `PATH_UNSAFE use PATH without ${sticky}: others may add to ${sticky} (mode 1777): set PATH without it`,
    ]);
  });

  it('is left out when everybody may write it, whoever owns it', async (t) => {
    if (process.geteuid?.() !== 0) return t.skip('only root gives a file away');
    const [open, sticky] = [await makeFolder(t, 0o777), await makeFolder(t, 0o1777)];
    for (const folder of [open, sticky]) await chown(folder, 65_534, 65_534);
    const { kept, left, warned } = await wordsOf(`${open}:${sticky}:/usr/bin`);
    assert.equal(kept, '/usr/bin');
    assert.match(left.join('\n'), /written by others \(mode 777\).*\n.*others may add to .*1777/);
    assert.deepEqual(warned, []);
  });

  it('is left out while its disk gives no answer, and is asked about once', async () => {
    const asked: string[] = [];
    const all: ((judged: Judged) => void)[] = [];
    const judge = (folder: string): Promise<Judged> => {
      if (folder !== '/dead') return Promise.resolve(SAFE);
      asked.push(folder);
      return new Promise((resolve) => all.push(resolve));
    };
    for (const waitMs of [10, 3_600_000]) {
      const { kept, left } = await judgeSearchPath('/dead:/usr/bin', { judge, waitMs });
      assert.equal(kept, '/usr/bin');
      assert.match(left[0]?.message ?? '', /^use PATH without \/dead: its disk, .* not answer$/);
      assert.match(left[0]?.hint ?? '', /^bring the disk /);
    }
    assert.deepEqual(asked, ['/dead']);
    for (const answer of all) answer(SAFE);
    await nextTurn();
    const after = judgeSearchPath('/dead:/usr/bin', { judge: judgeSearched });
    assert.equal((await after).kept, '/dead:/usr/bin');
  });

  it('is warned of when a group or another owner may write it', async (t) => {
    if (process.geteuid?.() !== 0) return t.skip('only root gives a file away');
    const [group, given] = [await makeFolder(t, 0o775), await makeFolder(t, 0o755)];
    await chown(given, 65_534, 65_534);
    const { kept, warned } = await wordsOf(`${group}:${given}`);
    assert.equal(kept, `${group}:${given}`);
    assert.match(
      warned[0] ?? '',
      /of PATH: .* may be written by its group \(mode 775\): chmod go-w/,
    );
    assert.match(warned[1] ?? '', /of PATH: .* belongs to another user \(uid 65534\)/);
  });

  it('is never missing altogether: an empty PATH would be the current folder', async () => {
    for (const text of [undefined, '', '.', 'bin:']) {
      const { kept } = await wordsOf(text);
      assert.match(kept, /^\//, text);
      assert.doesNotMatch(kept, /(?:^|:)(?:[^/]|$)/, text);
    }
  });
});

describe('the search path of the agent', () => {
  it('keeps no agent from its lock when the folder of flock is left out', async (t) => {
    const [open, empty] = [await makeFolder(t, 0o777), await makeFolder(t, 0o755)];
    const given = process.env['PATH'];
    t.after(() => void (process.env['PATH'] = given));
    process.env['PATH'] = empty;
    const root = await openFile(open, 'r');
    t.after(() => root.close());
    const log = makeLog('test', 'silent');
    await new SearchPath(log).look();
    await assert.rejects(flock(root.fd, open), { code: 'FLOCK_MISSING' });
    process.env['PATH'] = `${open}:${empty}`;
    const search = new SearchPath(log);
    await search.look();
    await flock(root.fd, open);
    assert.match(search.lines.join(), /program flock is run from the usual folders/);
    process.env['PATH'] = given;
    await new SearchPath(log).look(); // the next test begins with nothing left out
  });

  it('keeps hooks and programs of the boot side out of such a folder, until it is shut', async (t) => {
    const folder = await makeFolder(t, 0o777);
    const hooks = join(await tempFolder(t), 'hooks');
    await mkdir(hooks);
    await writeFile(join(hooks, 'health'), '#!/bin/sh\nzz-tool\n', { mode: 0o755 });
    const given = process.env['PATH'];
    t.after(() => void (process.env['PATH'] = given));
    // That of npm has a folder of /tmp when the tree lies there.
    process.env['PATH'] = `${folder}:/usr/sbin:/usr/bin:/sbin:/bin`;
    const told: string[] = [];
    const warn = ({ problem }: { problem?: { code: string } }): void => {
      if (problem) told.push(problem.code);
    };
    const search = new SearchPath({ ...makeLog('test', 'silent'), warn });
    const health = (): ReturnType<typeof runHook> =>
      runHook({ folder: hooks, name: 'health', timeoutMs: 10_000, env: {} });

    await assert.rejects(runBootProgram('zz-tool', []), { code: 'BOOT_TOOL_FAILED' });
    await search.look();
    const failed = await health();
    const failure = hookFailure(failed, 'HOOK_FAILED', 'run hook health');
    assert.equal(failure.code, 'PATH_UNSAFE', 'no version is to blame');
    assert.match(
      failure.message,
      /: exit 127 \(.*zz-tool.*\); use PATH without .*: chmod go-w \S+$/,
    );
    assert.match(describeHook(failed), /^exit 127 .* \(PATH_UNSAFE\)$/);
    await assert.rejects(runBootProgram('zz-tool', []), { code: 'BOOT_TOOL_FAILED' });
    await search.look();
    assert.deepEqual(told, ['PATH_UNSAFE'], 'once');
    assert.match(search.lines.join(), /may be written by others .*\(PATH_UNSAFE\)/);

    await chmod(folder, 0o755);
    await search.look();
    assert.deepEqual(search.lines, []);
    assert.equal((await health()).kind, 'ok');
    assert.match(await runBootProgram('zz-tool', []), /^from .*zz-tool/);
  });
});
