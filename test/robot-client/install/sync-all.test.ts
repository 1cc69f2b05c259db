import assert from 'node:assert/strict';
import { chmod, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDurable, isKernelFit, syncAll } from '../../../robot-client/install/sync-all.ts';
import { errnoOf } from '../../../shared/base/errno.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';

const codeThrown = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    return errnoOf(error);
  }
};

test('only a kernel that reports failed writes by syncfs is fit', () => {
  const fit = ['5.8.0', '5.10.0-28-amd64', '6.18.44-fc', '10.0', '5.15.32-v7+'].map(isKernelFit);
  const unfit = ['5.7.19', '4.19.0', '3.10.0-1160.el7', '', 'unknown'].map(isKernelFit);
  assert.deepEqual([...new Set(fit), ...new Set(unfit)], [true, false]);
});

test('a sync is durable when it ended well and said nothing, and an error in words is one', () => {
  const io = "sync: error syncing '/r': Input/output error\n";
  const cases = [
    [{ code: 0, said: '' }, true],
    [{ code: 0, said: 'sync: ignoring all arguments\n' }, false],
    [{ code: 1, said: "sync: invalid option -- 'f'\n" }, false],
    [{ code: 1, said: "sync: unrecognized option '-f'\n" }, false],
    [{ code: 1, said: '' }, false],
    [{ code: null, said: '' }, false],
    [{ code: 1, said: io }, 'DISK_WRITE_FAILED'],
    [{ code: 1, said: "sync: error syncing '/r': No space left on device\n" }, 'DISK_FULL'],
    [{ code: 1, said: "sync: error syncing '/r': Disk quota exceeded\n" }, 'DISK_FULL'],
    [{ code: 1, said: "sync: error opening '/r': Read-only file system\n" }, 'DISK_READ_ONLY'],
    [{ code: 1, said: "sync: error syncing '/r': Structure needs cleaning" }, 'DISK_WRITE_FAILED'],
    [{ code: 1, said: "sync: error syncing '/r': I/O error\n" }, 'DISK_WRITE_FAILED'],
    [{ code: 1, said: "sync: error opening '/r': Too many open files\n" }, false],
    [{ code: 1, said: "sync: error opening '/r': Too many open files in system\n" }, false],
    [{ code: 1, said: "sync: error syncing '/r': Operation not permitted\n" }, false],
    [{ code: 1, said: "sync: error syncing '/r': Function not implemented\n" }, false],
    [{ code: 1, said: "sync: error opening '/r: Input/output error': No such file" }, false],
    [{ code: 127, said: 'sync: error while loading shared libraries: libc.so.6: cannot' }, false],
  ] as const;
  for (const [answer, want] of cases) {
    assert.equal(
      codeThrown(() => isDurable('/r', answer)),
      want,
      JSON.stringify(answer),
    );
  }
});

/** Runs with a program `sync` of its own, or with none. */
async function withProgram(text: string | null, run: (folder: string) => Promise<void>) {
  await withTempFolder(async (folder) => {
    const bin = join(folder, 'bin');
    await mkdir(bin);
    if (text !== null) {
      await writeFile(join(bin, 'sync'), `#!/bin/sh\n${text}\n`);
      await chmod(join(bin, 'sync'), 0o755);
    }
    const { PATH } = process.env;
    process.env['PATH'] = bin;
    try {
      await run(folder);
    } finally {
      process.env['PATH'] = PATH;
    }
  });
}

test('the program of this machine makes the files of a folder durable', async () => {
  await withTempFolder(async (folder) => assert.equal(await syncAll(folder), true));
});

test('a machine without the program promises nothing', async () => {
  await withProgram(null, async (folder) => assert.equal(await syncAll(folder), false));
});

test('a program that the system refuses to start promises nothing', async () => {
  await withProgram('exit 0', async (folder) => {
    // Node throws for a program that somebody is writing (ETXTBSY), as it does for ENOMEM or EIO.
    const busy = await open(join(folder, 'bin', 'sync'), 'r+');
    try {
      assert.equal(await syncAll(folder), false);
    } finally {
      await busy.close();
    }
  });
});

test('a sync that the disk refuses fails with its words', async () => {
  await withProgram('echo "sync: error syncing $3: Input/output error" >&2; exit 1', async (at) => {
    await assert.rejects(syncAll(at), {
      code: 'DISK_WRITE_FAILED',
      message: /Input\/output error/,
    });
  });
});

test('an agent that is told to stop does not wait for a sync that hangs', async () => {
  await withProgram('exec /bin/sleep 600', async (folder) => {
    const stopping = new AbortController();
    const reason = new Error('power button');
    const run = syncAll(folder, stopping.signal);
    stopping.abort(reason);
    await assert.rejects(run, (error) => error === reason);
  });
});
