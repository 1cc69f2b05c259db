import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { diskCodeIn, DurableLevel } from '../../../broker/control/durable-level.ts';
import { requirePeer } from '../../helpers/peer.ts';
import { systemError } from '../../helpers/system-error.ts';
import { tempFolder, withTempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const SYNCED = { sync: true } as const;

/**
 * From now on no file of this process grows beyond this: the write that would is cut at the limit,
 * as by a disk that is full. Lifted when the test is over, or by the function returned.
 */
function limitFiles(t: TestContext, prlimit: string, bytes: number): () => void {
  const set = (soft: string): void => {
    execFileSync(prlimit, ['--pid', String(process.pid), `--fsize=${soft}:`]);
  };
  const lift = (): void => set('unlimited');
  t.after(lift);
  set(String(bytes));
  return lift;
}

async function keysOf(database: DurableLevel): Promise<string[]> {
  const keys: string[] = [];
  for await (const [key] of database.entries()) keys.push(key);
  return keys;
}

/** The keys that a start after a kill at this instant would find. */
async function keysAfterKill(t: TestContext, folder: string): Promise<string[]> {
  const copy = join(await tempFolder(t), 'copy');
  await cp(folder, copy, { recursive: true });
  const database = await DurableLevel.open(copy, 'view');
  const keys = await keysOf(database);
  await database.close();
  return keys;
}

/** Writes until one fails. @returns the keys that were acknowledged */
async function writeUntilFull(database: DurableLevel, bytes: number): Promise<string[]> {
  const kept: string[] = [];
  try {
    for (let at = 0; ; at += 1) {
      const key = `before-${String(at).padStart(3, '0')}`;
      await database.put(key, randomBytes(bytes), SYNCED);
      kept.push(key);
    }
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'DISK_WRITE_FAILED', String(error));
    return kept;
  }
}

describe('a database whose disk refused a write', () => {
  it('keeps all that it acknowledges, before and after, through a kill', async (t) => {
    const prlimit = requirePeer(t, 'prlimit');
    if (prlimit === null) return;
    const folder = join(await tempFolder(t), 'db');
    const database = await DurableLevel.open(folder, 'view');
    t.after(() => database.close());
    const lift = limitFiles(t, prlimit, 100_000);
    const kept = await writeUntilFull(database, 3_000);
    assert.ok(kept.length > 20, `only ${kept.length} fitted`);
    lift();
    await waitUntil('the disk to be asked again', () =>
      database.assertWritable().then(
        () => true,
        () => false,
      ),
    );
    for (const key of ['after-0', 'after-1']) {
      await database.put(key, randomBytes(3_000), SYNCED);
      kept.push(key);
    }
    assert.deepEqual(await keysAfterKill(t, folder), kept.sort());
    assert.ok(!(await readdir(folder)).includes('room'), 'its probe is gone');
  });

  it('is read on while it takes nothing, and refuses each write by name', async (t) => {
    const prlimit = requirePeer(t, 'prlimit');
    if (prlimit === null) return;
    const folder = join(await tempFolder(t), 'db');
    const database = await DurableLevel.open(folder, 'view');
    t.after(() => database.close());
    limitFiles(t, prlimit, 50_000);
    const kept = await writeUntilFull(database, 3_000);
    for (const write of [
      () => database.put('x', Buffer.from('1'), SYNCED),
      () => database.del('before-000'),
      () => database.batch([{ type: 'del', key: 'before-000' }]),
      () => database.batch().del('before-000').write(),
      () => database.assertWritable(),
    ]) {
      await assert.rejects(write(), { code: 'DISK_WRITE_FAILED' });
    }
    assert.equal(((await database.get('before-000')) as Uint8Array).byteLength, 3_000);
    assert.deepEqual(await keysOf(database), kept);
  });
});

describe('a database', () => {
  const anyKey = fc.constantFrom('a:1', 'a:2', 'b:1', 'b:2');
  const anyStep = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), key: anyKey, value: fc.nat(9) }),
    fc.record({ kind: fc.constant('del' as const), key: anyKey }),
    fc.record({ kind: fc.constant('clear' as const), prefix: fc.constantFrom('a', 'b') }),
  );

  it('runs operations in the order of their calls, however many wait at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { maxLength: 40 }), async (steps) => {
        await withTempFolder(async (folder) => {
          const database = await DurableLevel.open(join(folder, 'db'), 'utf8');
          const model = new Map<string, string>();
          const done = steps.map((step) => {
            if (step.kind === 'put') {
              model.set(step.key, String(step.value));
              return database.put(step.key, String(step.value), { sync: step.value === 9 });
            }
            if (step.kind === 'del') {
              model.delete(step.key);
              return database.del(step.key);
            }
            for (const key of [...model.keys()].filter((one) => one.startsWith(step.prefix))) {
              model.delete(key);
            }
            return database.clear({ gte: `${step.prefix}:`, lt: `${step.prefix};` });
          });
          await Promise.all(done);
          const found: [string, unknown][] = [];
          for await (const entry of database.entries()) found.push(entry);
          assert.deepEqual(found, [...model].sort());
          await database.close();
        });
      }),
      { numRuns: 20 },
    );
  });

  it('finishes what was begun before it closes, and takes nothing after', async (t) => {
    const folder = join(await tempFolder(t), 'db');
    const database = await DurableLevel.open(folder, 'utf8');
    const writes = Array.from({ length: 50 }, (_, at) => database.put(`k${at}`, 'v', SYNCED));
    await database.close();
    await Promise.all(writes);
    await assert.rejects(database.put('late', 'v'), { code: 'DISK_WRITE_FAILED' });
    assert.equal((await keysAfterKill(t, folder)).length, 50);
  });
});

describe('an error of the system that LevelDB passes on', () => {
  it('is a full or read-only disk by its words or its code, and else nothing of the disk', () => {
    const wrapped = (words: string): Error =>
      new Error('Database failed to open', {
        cause: new Error(`IO error: b/control/000005.ldb: ${words}`),
      });
    const errno = (code: string): Error => Object.assign(new Error(code), { code });
    const quota = systemError('EDQUOT', 'fsync', 'b/control/000005.log');
    const cases: [Error, string | null][] = [
      [wrapped('No space left on device'), 'DISK_FULL'],
      [wrapped('Disk quota exceeded'), 'DISK_FULL'],
      [wrapped('Read-only file system'), 'DISK_READ_ONLY'],
      [wrapped('Permission denied'), null],
      [errno('ENOSPC'), 'DISK_FULL'],
      [quota, 'DISK_FULL'],
      [errno('EROFS'), 'DISK_READ_ONLY'],
      [errno('EACCES'), null],
    ];
    for (const [thrown, code] of cases)
      assert.equal(diskCodeIn(thrown), code, String(thrown.cause));
  });
});
