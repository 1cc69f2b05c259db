/** A backup holds one moment of the databases, and damage to any byte of it is noticed. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { decodeRecords, encodeRecord, readEntryName } from '../../../broker/backup/format.ts';
import { termAt } from '../../../shared/rules/freshness.ts';
import { FolderChunkStore } from '../../../broker/chunks/chunk-store.ts';
import { openDataFolder, RESTORING } from '../../../broker/control/data-folder.ts';
import { callBackupDoor, openBackupDoor } from '../../../broker/backup/backup-socket.ts';
import { readBackup, type BackupPart } from '../../../broker/backup/read.ts';
import { DurableLevel } from '../../../broker/control/durable-level.ts';
import { writeBackup } from '../../../broker/backup/write.ts';
import { runRestore } from '../../../broker/backup/restore.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const NOW = Date.UTC(2026, 5, 1);

async function openStores(t: TestContext) {
  const folder = await tempFolder(t);
  const control = await DurableLevel.open(join(folder, 'control'), 'view');
  t.after(() => control.close());
  const chunks = await FolderChunkStore.open({
    ...{ folder: join(folder, 'chunks'), bytesMax: 2 ** 30, reserveBytes: 0 },
  });
  return { control, chunks, source: { databases: new Map([['control', control]]), chunks } };
}

async function read(bytes: Uint8Array): Promise<BackupPart[]> {
  const parts: BackupPart[] = [];
  for await (const part of readBackup(Readable.from([bytes]), 'test')) parts.push(part);
  return parts;
}

const recordsIn = (parts: readonly BackupPart[]): Map<string, string> =>
  new Map(
    parts.flatMap((part) =>
      part.kind === 'records'
        ? part.records.map(([key, value]) => [key, Buffer.from(value).toString('hex')] as const)
        : [],
    ),
  );

describe('a backup', () => {
  it('holds every database as it was when it began, whatever is written meanwhile', async (t) => {
    const { control, source } = await openStores(t);
    const big = randomBytes(LIMITS.backupSegmentBytes / 2);
    for (let at = 0; at < 5; at++) await control.put(`k${at}`, big, { sync: true });
    const stream = writeBackup(source, { hasChunks: true, now: NOW });
    await control.put('k0', Buffer.from('later'), { sync: true });
    await control.put('new', Buffer.from('later'), { sync: true });
    await control.del('k4', { sync: true });
    const parts = await read(await buffer(stream));
    assert.ok(parts.filter(({ kind }) => kind === 'records').length > 1, 'more than one segment');
    const found = recordsIn(parts);
    assert.deepEqual([...found.keys()], ['k0', 'k1', 'k2', 'k3', 'k4']);
    for (const value of found.values()) assert.equal(value, big.toString('hex'));
  });

  it('holds the chunks, or says that it does not', async (t) => {
    const { chunks, source } = await openStores(t);
    const bytes = randomBytes(20_000);
    await chunks.put(sha256Hex(bytes), bytes);
    for (const hasChunks of [true, false]) {
      const parts = await read(await buffer(writeBackup(source, { hasChunks, now: NOW })));
      const [first] = parts;
      assert.equal(first?.kind === 'header' && first.header.has_chunks, hasChunks);
      const found = parts.flatMap((part) => (part.kind === 'chunk' ? [part.bytes] : []));
      assert.deepEqual(found.map(sha256Hex), hasChunks ? [sha256Hex(bytes)] : []);
    }
  });

  it('ends its stream when its reader is gone', async (t) => {
    const { control, source } = await openStores(t);
    for (let at = 0; at < 8; at++) {
      await control.put(`k${at}`, randomBytes(LIMITS.backupSegmentBytes), { sync: true });
    }
    const stream = writeBackup(source, { hasChunks: true, now: NOW });
    for await (const _ of stream) break;
    assert.equal(stream.destroyed, true);
  });

  it('keeps no snapshot open for a reader that hung up, of no database', async (t) => {
    const { control, chunks } = await openStores(t);
    await control.put('k', randomBytes(LIMITS.backupSegmentBytes), { sync: true });
    const open = new Set<string>();
    const watched = (name: string) => ({
      snapshot: () => {
        open.add(name);
        const snapshot = control.snapshot();
        const close = async () => {
          await snapshot.close();
          open.delete(name);
        };
        return { [Symbol.asyncIterator]: () => snapshot[Symbol.asyncIterator](), close };
      },
    });
    const databases = new Map(['control', 'sessions'].map((name) => [name, watched(name)]));
    const reader = new Writable({ write: (_piece, _encoding, done) => done(new Error('gone')) });
    const stream = writeBackup({ databases, chunks }, { hasChunks: true, now: NOW });
    await assert.rejects(pipeline(stream, reader), /gone/);
    await waitUntil('all to be closed', () => open.size === 0);
  });

  it('is one at a time: a second client gets BACKUP_BUSY, and may begin when the first is gone', async (t) => {
    const { control, source } = await openStores(t);
    for (let at = 0; at < 8; at++) {
      await control.put(`k${at}`, randomBytes(LIMITS.backupSegmentBytes), { sync: true });
    }
    const dataFolder = await tempFolder(t);
    const log = makeLog('test', 'silent');
    t.after(await openBackupDoor({ dataFolder, source, log }));
    const first = await callBackupDoor(dataFolder, false);
    await assert.rejects(callBackupDoor(dataFolder, false), { code: 'BACKUP_BUSY' });
    first?.destroy();
    const second = await waitUntil('the door to be free', () =>
      callBackupDoor(dataFolder, false).catch(() => null),
    );
    second.destroy();
  });

  it('is refused when it is cut off or a bit of what it says is another', async (t) => {
    const { control, chunks, source } = await openStores(t);
    await control.put('fleet/updates', randomBytes(700), { sync: true });
    const chunk = randomBytes(3_000);
    await chunks.put(sha256Hex(chunk), chunk);
    const whole = await buffer(writeBackup(source, { hasChunks: true, now: NOW }));
    await read(whole);
    const contentEnd = whole.byteLength - 1024; // two empty blocks end a tar
    for (let at = 0; at < contentEnd; at += 512) {
      await assert.rejects(read(whole.subarray(0, at)), { code: 'BACKUP_DAMAGED' }, `cut at ${at}`);
    }
    for (const at of contentBytes(whole)) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await assert.rejects(read(damaged), { name: 'DroverError' }, `byte ${at}`);
    }
  });
});

/** Offsets of one byte in each block of file content and of each file name. */
function* contentBytes(tar: Buffer): Generator<number> {
  for (let at = 0; at + 512 <= tar.byteLength;) {
    const size = parseInt(tar.toString('latin1', at + 124, at + 135), 8);
    if (!Number.isFinite(size)) return;
    yield at + 3;
    for (let inside = 0; inside < size; inside += 97) yield at + 512 + inside;
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

describe('a restore', () => {
  it('leaves nothing behind when the backup is damaged, and touches no folder that is in use', async (t) => {
    const { control, source } = await openStores(t);
    await control.put('a', randomBytes(2_000), { sync: true });
    const whole = await buffer(writeBackup(source, { hasChunks: true, now: NOW }));
    const folder = await tempFolder(t);
    const file = join(folder, 'b');
    const data = join(folder, 'data');
    await writeFile(file, whole.subarray(0, whole.byteLength - 2_048));
    const again = (): Promise<void> => runRestore({ file, data, json: true });
    await assert.rejects(again, { code: 'BACKUP_DAMAGED' });
    assert.deepEqual(await readdir(data), []);
    await writeFile(join(data, 'mine'), 'kept');
    await assert.rejects(again, { code: 'DATA_NOT_EMPTY' });
    assert.equal(await readFile(join(data, 'mine'), 'utf8'), 'kept');
  });

  it('that a power cut ended keeps a broker from starting there', async (t) => {
    const data = await tempFolder(t);
    await mkdir(join(data, RESTORING));
    await assert.rejects(openDataFolder(data), { code: 'RESTORE_UNFINISHED' });
  });

  it('takes a term above one change of leader in ten seconds since the first fleet', () => {
    assert.equal(termAt(0), 0);
    assert.equal(termAt(Date.UTC(2026, 0, 2)), 8_640);
    assert.ok(termAt(Date.UTC(2200, 0, 1)) <= LIMITS.leaseTermMax / 2);
  });
});

describe('names and records of a backup', () => {
  it('lead nowhere else', () => {
    for (const name of ['../x', '/etc/passwd', 'databases/../../x/000000', 'chunks/../x', '']) {
      assert.equal(readEntryName(name), null, name);
    }
  });

  it('are taken only whole', () => {
    const record = encodeRecord(['key', randomBytes(10)]);
    assert.equal(decodeRecords('x', record).length, 1);
    for (let end = 1; end < record.byteLength; end++) {
      assert.throws(() => decodeRecords('x', record.subarray(0, end)), { code: 'BACKUP_DAMAGED' });
    }
  });
});
