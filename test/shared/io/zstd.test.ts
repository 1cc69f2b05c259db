import assert from 'node:assert/strict';
import { chmod, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { probeZstd, runZstd, type ZstdRun } from '../../../shared/io/zstd.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

async function* bytesOf(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield new Uint8Array(65_536);
}

async function program(t: TestContext, script: string): Promise<string> {
  const path = join(await tempFolder(t), 'zstd');
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

async function run(more: Partial<ZstdRun>): Promise<Buffer> {
  const taken: Uint8Array[] = [];
  await runZstd({
    program: 'zstd',
    args: ['-q', '-c'],
    input: bytesOf(),
    take: (piece) => void taken.push(piece),
    timeoutMs: 60_000,
    ...more,
  });
  return Buffer.concat(taken);
}

const refused =
  (code: string, words = /./) =>
  (error: unknown) =>
    error instanceof DroverError && error.code === code && words.test(error.message);

describe('the zstd program', () => {
  it('takes and gives bytes of any amount, a piece at a time', async () => {
    const text = Buffer.alloc(3_000_000, 'text ');
    const packed = await run({
      input: bytesOf(text.subarray(0, 1_000_001), text.subarray(1_000_001)),
    });
    assert.ok(packed.byteLength < text.byteLength / 100);
    assert.deepEqual(await run({ args: ['-d', '-q', '-c'], input: bytesOf(packed) }), text);
  });

  it('ends with its last words, bounded, when it fails', async (t) => {
    const shout = 'yes "a long line of anger" | head -c 1000000 >&2; echo the end >&2; exit 3';
    const failing = run({ program: await program(t, shout), input: endless() });
    await assert.rejects(failing, (error) => {
      assert.ok(error instanceof DroverError);
      assert.equal(error.code, 'ZSTD_FAILED');
      assert.match(error.message, /it ended with 3/);
      assert.ok(error.message.length < LIMITS.zstdStderrBytesMax);
      return true;
    });
  });

  it('that the system refuses to start is a failure of it, to be tried later', async (t) => {
    const path = await program(t, 'exit 0');
    const busy = await open(path, 'r+'); // ETXTBSY, which Node throws as it does ENOMEM
    t.after(() => busy.close());
    await assert.rejects(run({ program: path }), refused('ZSTD_FAILED', /ETXTBSY/));
  });

  it('is killed after its time, however much it reads or sleeps', async (t) => {
    const sleeping = await program(t, 'exec sleep 600');
    await assert.rejects(
      run({ program: sleeping, timeoutMs: 200, input: endless() }),
      refused('ZSTD_TIMED_OUT'),
    );
  });

  it('is killed when the taker has enough, or the caller leaves', async () => {
    const enough = new Error('more than was asked for');
    const bomb = run({
      args: ['-q', '-c', '-1'],
      input: endless(),
      take: () => {
        throw enough;
      },
    });
    await assert.rejects(bomb, (error) => error === enough);
    const leaving = new AbortController();
    const left = run({
      input: endless(),
      take: () => leaving.abort(new Error('left')),
      signal: leaving.signal,
    });
    await assert.rejects(left, /left/);
  });

  it('tells what its input failed with', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      throw new Error('the disk is gone');
    }
    await assert.rejects(run({ input: broken() }), /the disk is gone/);
  });

  it('is not led by the environment', async (t) => {
    const path = await program(t, 'env');
    process.env['ZSTD_CLEVEL'] = '19';
    t.after(() => delete process.env['ZSTD_CLEVEL']);
    assert.doesNotMatch((await run({ program: path })).toString(), /ZSTD_CLEVEL/);
  });

  it('is known by its version, and one without patches counts as missing', async (t) => {
    assert.match(await probeZstd('zstd'), /^\d+\.\d+\.\d+$/);
    const says = (text: string) => program(t, `echo "${text}"`);
    for (const version of ['1.4.5', '1.10.0', '2.0.0']) {
      assert.equal(
        await probeZstd(await says(`*** Zstandard CLI (64-bit) v${version} ***`)),
        version,
      );
    }
    for (const text of ['v1.4.4', 'v0.9.9', 'v1.3.99', 'no version', '']) {
      await assert.rejects(probeZstd(await says(text)), refused('ZSTD_MISSING', /too old/));
    }
    await assert.rejects(probeZstd('/nowhere/zstd'), refused('ZSTD_MISSING'));
    const path = await says('v1.5.0');
    await chmod(path, 0o644);
    await assert.rejects(probeZstd(path), refused('ZSTD_MISSING'));
  });
});
