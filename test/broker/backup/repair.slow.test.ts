/** Damaged databases of LevelDB are named, never taken for empty ones, and repaired. */

import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, it, test, type TestContext } from 'node:test';
import { leveldbsIn, openDataFolder } from '../../../broker/control/data-folder.ts';
import { ControlStore } from '../../../broker/control/control-store.ts';
import { DurableLevel } from '../../../broker/control/durable-level.ts';
import { hasHole, recordsEnd } from '../../../broker/control/log-check.ts';
import { repairFolder } from '../../../broker/backup/repair.ts';
import { runTool } from '../../helpers/block-device.ts';
import { startDrover, type Child } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { startBrokerChild } from '../../e2e/broker-child.ts';

const ROBOTS = 40;

async function makeData(t: TestContext): Promise<string> {
  const data = await tempFolder(t);
  await fillData(data);
  return data;
}

async function fillData(data: string): Promise<void> {
  const store = await ControlStore.open(join(data, 'control'));
  const payload = new TextEncoder().encode('{}');
  await store.put({ topic: 'fleet/updates', payload, qos: 1 });
  for (let at = 0; at < ROBOTS; at += 1) {
    await store.put({ topic: `fleet/robots/r${at}/state`, payload, qos: 1 });
  }
  await store.close();
}

async function manifestOf(folder: string): Promise<string> {
  const name = (await readdir(folder)).find((one) => one.startsWith('MANIFEST'));
  assert.ok(name);
  return join(folder, name);
}

const DAMAGES: readonly [string, (folder: string) => Promise<void>][] = [
  ['an empty CURRENT', (folder) => writeFile(join(folder, 'CURRENT'), '')],
  ['no CURRENT', (folder) => rm(join(folder, 'CURRENT'))],
  [
    'a folder at CURRENT',
    async (folder) => {
      await rm(join(folder, 'CURRENT'));
      await mkdir(join(folder, 'CURRENT'));
    },
  ],
  ['a CURRENT that names nothing', (folder) => writeFile(join(folder, 'CURRENT'), 'MANIFEST-99\n')],
  ['a CURRENT of other words', (folder) => writeFile(join(folder, 'CURRENT'), 'garbage\n')],
  ['a CURRENT of zeroes', (folder) => writeFile(join(folder, 'CURRENT'), Buffer.alloc(16))],
  ['a CURRENT cut short', (folder) => truncate(join(folder, 'CURRENT'), 9)],
  ['a CURRENT that leads away', (folder) => writeFile(join(folder, 'CURRENT'), '../x\n')],
  ['a zeroed MANIFEST', async (folder) => writeFile(await manifestOf(folder), Buffer.alloc(4096))],
  ['no MANIFEST', async (folder) => rm(await manifestOf(folder))],
  ['an empty MANIFEST', async (folder) => truncate(await manifestOf(folder), 0)],
];

describe('a damaged database', () => {
  for (const [what, damage] of DAMAGES) {
    it(`with ${what} is refused by name, and repaired with all that it held`, async (t) => {
      const data = await makeData(t);
      await damage(join(data, 'control'));
      await assert.rejects(ControlStore.open(join(data, 'control')), (error: Error) => {
        assert.equal(
          (error as unknown as { code: string }).code,
          'DATABASE_DAMAGED',
          error.message,
        );
        return error.message.includes(join(data, 'control'));
      });
      const [done] = await repairFolder(data, false);
      assert.equal(done?.status, 'repaired');
      assert.equal(done.records, ROBOTS + 1);
      assert.deepEqual(done.lostFiles, [], 'what was read in full is not lost');
      const store = await ControlStore.open(join(data, 'control'));
      assert.equal(store.size, ROBOTS + 1);
      await store.close();
      assert.ok((await readdir(join(data, done.kept ?? ''))).length > 0, 'the damaged one is kept');
    });
  }
});

async function logOf(folder: string): Promise<string> {
  const name = (await readdir(folder)).find((one) => one.endsWith('.log'));
  assert.ok(name);
  return join(folder, name);
}

const LOG_DAMAGES: readonly [string, (log: string) => Promise<void>][] = [
  ['is gone', (log) => rm(log)],
  ['was emptied', (log) => truncate(log, 0)],
  [
    'was cut between two records',
    async (log) => {
      const bytes = await readFile(log);
      await truncate(log, recordsEnd(bytes.subarray(0, bytes.length >> 1)));
    },
  ],
  [
    'was zeroed',
    async (log) => {
      await writeFile(log, Buffer.alloc((await readFile(log)).length));
    },
  ],
  [
    'has other bytes in its middle',
    async (log) => {
      const bytes = await readFile(log);
      await writeFile(log, bytes.fill('X', bytes.length >> 1, (bytes.length >> 1) + 16));
    },
  ],
  [
    'has other bytes at its begin',
    async (log) => {
      const bytes = await readFile(log);
      await writeFile(log, bytes.fill('X', 0, 16));
    },
  ],
];

describe('a database whose live log', () => {
  for (const [what, damage] of LOG_DAMAGES) {
    it(`${what} is refused, and repaired with what can be read`, async (t) => {
      const data = await makeData(t);
      await damage(await logOf(join(data, 'control')));
      const refused = { code: 'DATABASE_DAMAGED' };
      await assert.rejects(ControlStore.open(join(data, 'control')), refused);
      const [done] = await repairFolder(data, false);
      assert.equal(done?.status, 'repaired');
      assert.ok(done.records < ROBOTS + 1);
      await (await ControlStore.open(join(data, 'control'))).close();
    });
  }

  it('is torn at its end, or has sectors that were never written, is that of a power cut', async (t) => {
    const whole = await makeData(t);
    const bytes = await readFile(await logOf(join(whole, 'control')));
    await rm(join(whole, 'control/tally')); // nothing of it was durable
    for (const left of [bytes.subarray(0, -5), bytes.subarray(0, 9), Buffer.alloc(0)]) {
      await writeFile(await logOf(join(whole, 'control')), left);
      assert.equal(hasHole(left), false);
      await (await ControlStore.open(join(whole, 'control'))).close();
    }
    const unwritten = Buffer.concat([bytes.subarray(0, 100), Buffer.alloc(2048), bytes]);
    assert.equal(hasHole(unwritten), false);
    assert.equal(hasHole(Buffer.concat([bytes, bytes])), false);
  });
});

test('a hole over many blocks of a log is found, and one at the end of a block', async (t) => {
  const folder = join(await tempFolder(t), 'control');
  const store = await ControlStore.open(folder);
  for (let at = 0; at < 20; at += 1) {
    await store.put({ topic: `fleet/x/${at}`, payload: Buffer.alloc(9_000, 'x'), qos: 1 });
  }
  await store.close();
  const bytes = await readFile(await logOf(folder));
  assert.equal(hasHole(bytes), false);
  for (const [from, to] of [
    [40_000, 100_000],
    [32_760, 32_776],
    [5, 9],
  ] as const) {
    assert.equal(hasHole(Buffer.from(bytes).fill('Y', from, to)), true, `${from}`);
  }
  assert.equal(hasHole(Buffer.from(bytes).fill('Y', bytes.length - 20)), false, 'a torn end');
});

test('every database of a broker whose CURRENT was overwritten is repaired, and the broker starts', async (t) => {
  const first = await startBrokerChild(t);
  await first.child.stop();
  // As a broker with a trust root and a rollout key would make them.
  for (const name of ['garbage', 'rollouts']) {
    await (await DurableLevel.open(join(first.data, name), 'utf8')).close();
  }
  const names = await leveldbsIn(first.data);
  assert.deepEqual(names, ['audit', 'control', 'garbage', 'rollouts', 'sessions']);
  for (const name of names) await writeFile(join(first.data, name, 'CURRENT'), 'garbage\n');
  const refused = startDrover(t, 'broker', ['--data', first.data]);
  assert.notEqual((await refused.exit).code, 0, refused.describe());
  assert.match(refused.stderr, /DATABASE_DAMAGED[^]*hint: .*drover-broker repair/);
  const done = await repairFolder(first.data, false);
  assert.deepEqual(
    done.map(({ database, status }) => [database, status]),
    names.map((name) => [name, 'repaired']),
  );
  await startBrokerChild(t, { data: first.data });
});

/** The log is in a table after the database was opened once more. */
async function makeTable(data: string): Promise<string> {
  const folder = join(data, 'control');
  await (await ControlStore.open(folder)).close();
  const name = (await readdir(folder)).find((one) => one.endsWith('.ldb'));
  assert.ok(name);
  return join(folder, name);
}

const TABLE_DAMAGES: readonly [string, (table: Buffer) => Buffer][] = [
  ['one changed byte', (table) => table.fill((table[200] ?? 0) ^ 1, 200, 201)],
  ['a zeroed piece', (table) => table.fill(0, 100, 300)], // ended the process in LevelDB's repair
  ['zeroes throughout', (table) => table.fill(0)],
  ['half of its bytes', (table) => table.subarray(0, table.length >> 1)],
  ['no bytes', (table) => table.subarray(0, 0)],
];

describe('a table of a database', () => {
  for (const [what, damage] of TABLE_DAMAGES) {
    it(`with ${what} is refused, set aside by a repair and told as lost`, async (t) => {
      const data = await makeData(t);
      const table = await makeTable(data);
      const bytes = damage(await readFile(table));
      await writeFile(table, bytes);
      await assert.rejects(ControlStore.open(join(data, 'control')), { code: 'DATABASE_DAMAGED' });
      const child = startDrover(t, 'broker', ['repair', '--data', data, '--json']);
      assert.equal((await child.exit).code, 0, child.describe());
      const { databases } = JSON.parse(child.stdout) as {
        databases: { status: string; kept: string; lost_files: string[] }[];
      };
      const [done] = databases;
      assert.equal(done?.status, 'repaired');
      assert.deepEqual(done.lost_files, [basename(table)]);
      assert.deepEqual(await readFile(join(data, done.kept, basename(table))), bytes);
      await (await ControlStore.open(join(data, 'control'))).close();
    });
  }

  it('stays as it is on a disk that has no room for a copy, and is repaired with room', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('mounting wants root');
    const data = await tempFolder(t);
    runTool('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', data);
    try {
      await fillData(data);
      const table = await makeTable(data);
      const bytes = (await readFile(table)).fill(0, 100, 300);
      await writeFile(table, bytes);
      const repair = (): Child => startDrover(t, 'broker', ['repair', '--data', data]);
      const full = repair();
      assert.equal((await full.exit).code, 3, full.describe());
      assert.match(full.stderr, /nothing was changed: not enough room .*\(DISK_FULL\)/);
      assert.match(full.stderr, /hint: make room for a copy of the folder/);
      assert.deepEqual(await readdir(data), ['control']);
      assert.deepEqual(await readFile(table), bytes);
      runTool('mount', '-o', 'remount,size=40m', data);
      const done = repair();
      assert.equal((await done.exit).code, 0, done.describe());
    } finally {
      runTool('umount', data);
    }
  });
});

describe('drover-broker repair', () => {
  it('changes nothing in a whole folder and tells what it holds', async (t) => {
    const data = await makeData(t);
    const child = startDrover(t, 'broker', ['repair', '--data', data]);
    assert.equal((await child.exit).code, 0, child.describe());
    assert.match(
      child.stdout,
      /control: whole, 41 records \(the announcement, reports of 40 robots\)/,
    );
    assert.deepEqual(await readdir(data), ['control']);
  });

  it('refuses a folder that a broker uses, and one where none ever was', async (t) => {
    const data = await makeData(t);
    const store = await ControlStore.open(join(data, 'control'));
    const child = startDrover(t, 'broker', ['repair', '--data', data, '--json']);
    assert.equal((await child.exit).code, 2, child.describe());
    assert.match(child.stdout, /DATA_LOCKED/);
    await store.close();
    await assert.rejects(repairFolder(await tempFolder(t), false), { code: 'FILE_UNREADABLE' });
  });

  it('goes on where a repair was cut off between its two renames', async (t) => {
    const data = await makeData(t);
    await mkdir(join(data, 'repairing'));
    await mkdir(join(data, 'damaged'));
    await cp(join(data, 'control'), join(data, 'repairing/control'), { recursive: true });
    await rename(join(data, 'control'), join(data, 'damaged/control'));
    await assert.rejects(openDataFolder(data), { code: 'REPAIR_UNFINISHED' });
    const [done] = await repairFolder(data, true);
    assert.deepEqual([done?.status, done?.records], ['whole', ROBOTS + 1]);
    await openDataFolder(data);
  });
});
