/**
 * A live log that lost durable records is damaged; one that a kill or a power cut shortened is not.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { DurableLevel } from '../../../broker/control/durable-level.ts';
import { repairFolder } from '../../../broker/backup/repair.ts';
import { startChild, startDrover, type Child } from '../../helpers/child.ts';
import { tempFolder, withTempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { startBrokerChild } from '../../e2e/broker-child.ts';
import { Site } from '../../e2e/site.ts';

const WRITER = fileURLToPath(new URL('tally-writer.js', import.meta.url));
const DAMAGED = { code: 'DATABASE_DAMAGED' };

const tallyOf = async (folder: string): Promise<{ log: string; bytes: number } | null> =>
  JSON.parse(await readFile(join(folder, 'tally'), 'utf8').catch(() => 'null')) as {
    log: string;
    bytes: number;
  } | null;

async function logsOf(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.log')).sort();
}

async function keysIn(folder: string): Promise<string[]> {
  const database = await DurableLevel.open(folder, 'view');
  const keys: string[] = [];
  for await (const [key] of database.entries()) keys.push(key);
  await database.close();
  return keys;
}

describe('the live log of a database', () => {
  it('is not counted where a pipe, a folder or a link stands in the place of the tally', async (t) => {
    const kinds: Readonly<Record<string, (path: string) => void | Promise<void>>> = {
      pipe: (path) => void execFileSync('mkfifo', [path]),
      folder: (path) => mkdir(path),
      link: (path) => symlink('/dev/zero', path),
    };
    for (const [kind, put] of Object.entries(kinds)) {
      const folder = join(await tempFolder(t), kind);
      const before = await DurableLevel.open(folder, 'view');
      await before.put('a', randomBytes(10), { sync: true });
      await before.close();
      const path = join(folder, 'tally');
      await rm(path, { force: true });
      await put(path);
      const made = (await lstat(path)).mode;
      assert.deepEqual(await keysIn(folder), ['a'], kind);
      const again = await DurableLevel.open(folder, 'view');
      await again.put('b', randomBytes(10), { sync: true });
      await again.close();
      assert.equal((await lstat(path)).mode, made, `${kind}: what is not ours stays`);
    }
  });

  it('is damaged below what was durable, and else as a power cut leaves it, at any length', async () => {
    const writes = fc.array(fc.record({ bytes: fc.nat(9_000), sync: fc.boolean() }), {
      minLength: 1,
      maxLength: 12,
    });
    const property = fc.asyncProperty(
      writes,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (all, part) =>
        withTempFolder(async (home) => {
          const [folder, copy] = [join(home, 'db'), join(home, 'copy')];
          const database = await DurableLevel.open(folder, 'view');
          for (const [at, { bytes, sync }] of all.entries()) {
            await database.put(String(at), randomBytes(bytes), { sync });
          }
          const isCounted = all.some(({ sync }) => sync);
          if (isCounted) await waitUntil('the tally', async () => await tallyOf(folder));
          await cp(folder, copy, { recursive: true });
          await database.close();
          const durable = (await tallyOf(copy))?.bytes ?? 0;
          const log = join(copy, (await logsOf(copy)).at(-1) ?? '');
          const { length } = await readFile(log);
          const left = Math.round(length * part);
          await truncate(log, left);
          if (left < durable) await assert.rejects(keysIn(copy), DAMAGED);
          else await keysIn(copy);
        }),
    );
    await fc.assert(property, { numRuns: 10 });
  });

  it('is counted whole at an orderly end, also what was not waited for', async (t) => {
    const folder = join(await tempFolder(t), 'db');
    const database = await DurableLevel.open(folder, 'view');
    for (let at = 0; at < 20; at += 1) await database.put(String(at), Buffer.alloc(50));
    await database.close();
    const [log = ''] = await logsOf(folder);
    const { length } = await readFile(join(folder, log));
    assert.deepEqual(await tallyOf(folder), { log, bytes: length });
    await truncate(join(folder, log), length - 1);
    await assert.rejects(keysIn(folder), DAMAGED);
  });

  it('may be another than the one that was counted, or of a broker that counts nothing', async (t) => {
    const folder = join(await tempFolder(t), 'db');
    const first = await DurableLevel.open(folder, 'view');
    await first.put('a', Buffer.alloc(9), { sync: true });
    await first.close();
    const kept = await readFile(join(folder, 'tally'));
    assert.deepEqual(await keysIn(folder), ['a']);
    await writeFile(join(folder, 'tally'), kept); // as after a broker of 0.1 opened it
    assert.deepEqual(await keysIn(folder), ['a']);
    for (const text of ['', '{"log":"000', 'null', '{"log":"../x","bytes":9}', '{"bytes":-1}']) {
      await writeFile(join(folder, 'tally'), text);
      assert.deepEqual(await keysIn(folder), ['a'], text);
    }
    await rm(join(folder, 'tally'));
    assert.deepEqual(await keysIn(folder), ['a']);
  });
});

async function writeUntilKilled(t: TestContext, folder: string, bytes: number): Promise<string[]> {
  const child = startChild(t, process.execPath, [WRITER, folder, String(bytes)]);
  await child.waitForOutput(/\d+-\d+\n/);
  await sleep(Math.random() * 1_500);
  child.kill('SIGKILL');
  await child.exit;
  return child.stdout.split('\n').slice(1, -1); // of the first line the begin may be cut off
}

describe('a database whose process is killed again and again', () => {
  for (const [what, bytes] of [
    ['with small writes', 100],
    ['while LevelDB begins new logs', 300_000],
  ] as const) {
    it(`opens each time with all that was acknowledged, ${what}`, async (t) => {
      const folder = join(await tempFolder(t), 'db');
      const acknowledged: string[] = [];
      const counted = new Set<string | undefined>();
      for (let round = 0; round < 5; round += 1) {
        acknowledged.push(...(await writeUntilKilled(t, folder, bytes)));
        counted.add((await tallyOf(folder))?.log);
        const keys = new Set(await keysIn(folder));
        assert.deepEqual(
          acknowledged.filter((key) => !keys.has(key)),
          [],
        );
      }
      assert.ok(counted.size > 1, 'logs were counted');
    });
  }
});

async function refused(t: TestContext, data: string): Promise<Child> {
  const child = startDrover(t, 'broker', ['--data', data]);
  assert.notEqual((await child.exit).code, 0, child.describe());
  return child;
}

for (const how of ['stopped', 'killed'] as const) {
  it(`a broker that was ${how} does not start with an emptied log, and starts after a repair`, async (t) => {
    const first = await startBrokerChild(t);
    const site = await Site.open(t);
    await site.publish(first.url, await site.bundle('1.0.0'));
    const folder = join(first.data, 'control');
    await waitUntil('the tally', async () => await tallyOf(folder));
    if (how === 'stopped') await first.child.stop();
    else first.child.kill('SIGKILL');
    await first.child.exit;
    await truncate(join(folder, (await logsOf(folder)).at(-1) ?? ''), 0);
    assert.match(
      (await refused(t, first.data)).stderr,
      /emptied[^]*DATABASE_DAMAGED[^]*drover-broker repair/,
    );
    await repairFolder(first.data, false);
    const again = await startBrokerChild(t, { data: first.data });
    await again.child.stop();
  });
}
