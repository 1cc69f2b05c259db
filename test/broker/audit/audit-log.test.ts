/** The audit chain in a real database survives restarts, and reports entries that are missing. */

import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { AUDIT_DATABASE, AuditLog } from '../../../broker/audit/audit-log.ts';
import { AuditSources, type KeptHistory } from '../../../broker/audit/audit-sources.ts';
import { recordKey } from '../../../broker/audit/chain-start.ts';
import {
  gap,
  retired,
  type RolloutEntry,
  type ListedUser,
} from '../../../broker/audit/decision.ts';
import { DurableLevel } from '../../../broker/control/durable-level.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import {
  ChainCheck,
  type AuditRecord,
  type ChainReport,
} from '../../../shared/formats/audit-record.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const log = makeLog('test', 'silent');

async function opened(t: TestContext) {
  const dataFolder = await tempFolder(t);
  const start = async (): Promise<AuditLog> =>
    await AuditLog.open({ dataFolder, log, now: Date.now });
  const database = async (change: (one: DurableLevel) => Promise<void>): Promise<void> => {
    const one = await DurableLevel.open(join(dataFolder, AUDIT_DATABASE), 'utf8');
    await change(one);
    await one.close();
  };
  return { dataFolder, start, database };
}

async function recordsOf(audit: AuditLog): Promise<AuditRecord[]> {
  return (await audit.lines(0, 1_000)).map((line) => JSON.parse(line) as AuditRecord);
}

async function report(audit: AuditLog): Promise<ChainReport> {
  const check = new ChainCheck();
  for (const line of await audit.lines(0, 1_000)) check.take(line);
  return check.end();
}

const kindsOf = async (audit: AuditLog): Promise<string[]> =>
  (await recordsOf(audit)).map(({ kind }) => kind);

describe('the audit chain of a broker', () => {
  it('goes on over restarts, each record with the hash of the one before', async (t) => {
    const { start } = await opened(t);
    for (const robot of ['r1', 'r2', 'r3']) {
      const audit = await start();
      await audit.note(retired(robot, 'alice'));
      await audit.close();
    }
    const audit = await start();
    assert.deepEqual(
      (await recordsOf(audit)).map(({ kind, subject, by }) => [kind, subject, by]),
      [
        ['chain.began', '', 'broker'],
        ...['r1', 'r2', 'r3'].map((robot) => ['robot.retired', robot, 'alice']),
      ],
    );
    const found = await report(audit);
    assert.deepEqual([found.first, found.last, found.gaps], [1, audit.view().head, []]);
    await audit.close();
  });

  it('names the entries that are missing at its end, and goes on behind them', async (t) => {
    const { start, database } = await opened(t);
    const before = await start();
    for (const robot of ['r1', 'r2', 'r3']) await before.note(retired(robot, 'alice'));
    await before.close();
    await database(async (one) => {
      await one.batch([3, 4].map((seq) => ({ type: 'del', key: recordKey(seq) })));
    });
    for (let restart = 0; restart < 2; restart += 1) {
      const audit = await start();
      const found = await report(audit);
      assert.deepEqual(
        found.gaps.map(({ seq, text }) => [seq, /entries 3 to 4 .* missing/.test(text)]),
        [[5, true]],
      );
      assert.deepEqual(await kindsOf(audit), ['chain.began', 'robot.retired', 'chain.gap']);
      await audit.close();
    }
  });

  it('names a record that was changed while the broker was stopped, once', async (t) => {
    for (const seq of [2, 3]) {
      const { start, database } = await opened(t);
      const before = await start();
      for (const robot of ['r1', 'r2']) await before.note(retired(robot, 'alice'));
      await before.close();
      await database(async (one) => {
        const line = String(await one.get(recordKey(seq)));
        await one.put(recordKey(seq), line.replace('alice', 'mallory'));
      });
      const first = await start();
      assert.equal((await recordsOf(first)).at(-1)?.kind, 'chain.gap');
      await first.close();
      const second = await start();
      assert.equal((await recordsOf(second)).length, 4);
      await second.close();
    }
  });

  it('names a change of a record that stands before a gap which was named earlier', async (t) => {
    const { start, database } = await opened(t);
    const before = await start();
    for (const robot of ['r1', 'r2']) await before.note(retired(robot, 'alice'));
    await before.note(gap('restored from a backup'));
    await before.note(retired('r3', 'alice'));
    await before.close();
    const forge = async (seq: number): Promise<void> =>
      await database(async (one) => {
        const line = String(await one.get(recordKey(seq)));
        await one.put(recordKey(seq), line.replace('alice', 'mallory'));
      });
    const gaps = async (): Promise<(string | undefined)[]> => {
      const audit = await start();
      const found = (await recordsOf(audit)).filter(({ kind }) => kind === 'chain.gap');
      await audit.close();
      return found
        .slice(1)
        .map(({ text }) => /entry \d+ does not follow entry \d+/.exec(text)?.[0]);
    };
    await forge(2);
    assert.deepEqual(await gaps(), ['entry 3 does not follow entry 2']);
    assert.equal((await gaps()).length, 1);
    await forge(5);
    assert.equal((await gaps()).length, 2);
  });

  it('a chain that cannot be read is kept aside, and a new one says so', async (t) => {
    const { start, dataFolder } = await opened(t);
    const before = await start();
    await before.note(retired('r1', 'alice'));
    await before.close();
    const folder = join(dataFolder, AUDIT_DATABASE);
    const logFile = (await readdir(folder)).find((name) => name.endsWith('.log')) ?? '';
    const bytes = await readFile(join(folder, logFile));
    await writeFile(join(folder, logFile), bytes.subarray(0, 20));
    const audit = await start();
    const [began] = await recordsOf(audit);
    assert.match(began?.text ?? '', /begins: the one before was damaged/);
    const [kept] = await readdir(join(dataFolder, 'damaged'));
    assert.equal(began?.facts['kept'], join('damaged', kept ?? ''));
    assert.deepEqual((await report(audit)).gaps, [{ seq: 1, text: began?.text }]);
    await audit.close();
  });

  it('records of a disk that takes no writes wait, and the chain has them all later', async (t) => {
    const { start } = await opened(t);
    const audit = await start();
    const limit = t.mock.method(DurableLevel.prototype, 'batch', () =>
      Promise.reject(new Error('no space')),
    );
    for (let at = 0; at < LIMITS.auditWaitingMax + 3; at += 1) {
      await audit.note(retired(`r${at}`, 'alice'));
    }
    assert.equal(audit.view().waiting, LIMITS.auditWaitingMax);
    await assert.rejects(audit.assertWritable(), /no space/);
    limit.mock.restore();
    await audit.assertWritable();
    assert.equal(audit.view().waiting, 0);
    const check = new ChainCheck();
    let after = 0;
    for (;;) {
      const lines = await audit.lines(after, 500);
      if (lines.length === 0) break;
      for (const line of lines) after = check.take(line).head.seq;
    }
    const found = check.end();
    assert.equal(found.entries, 1 + LIMITS.auditWaitingMax + 1);
    assert.match(found.gaps[0]?.text ?? '', /^3 decisions are missing here/);
    await audit.close();
  });

  it('keeps a bounded number of records, and what is left still verifies', async (t) => {
    const { start, database } = await opened(t);
    const audit = await start();
    await audit.close();
    // As if it had run for years: the number is what counts.
    const near = LIMITS.auditRecordsMax;
    await database(async (one) => {
      const line = String(await one.get(recordKey(1)));
      const old = JSON.parse(line) as AuditRecord;
      const big = JSON.stringify({ ...old, seq: near, prev: 'a'.repeat(64) });
      await one.batch([
        { type: 'put', key: recordKey(near), value: big },
        { type: 'del', key: recordKey(1) },
        { type: 'del', key: 'head' },
      ]);
    });
    const later = await start();
    await later.note(retired('r1', 'alice'));
    const lines = await later.lines(0, 10);
    assert.equal(lines.length, 2);
    const check = new ChainCheck({ after: 'a'.repeat(64) });
    for (const line of lines) check.take(line);
    assert.equal(check.end().last.seq, near + 1);
    await later.close();
  });
});

const entry = (seq: number, text: string): RolloutEntry => ({
  ...{ seq, at: '2026-06-01T00:00:00.000Z', rollout: 'x-1', kind: 'paused', by: 'bob' },
  ...{ text, wave: 1, status: 'paused' },
});

describe('the sources of the audit chain', () => {
  const sourcesOf = (audit: AuditLog, users: readonly ListedUser[] | null = null): AuditSources =>
    new AuditSources({ audit, retained: () => null, trust: null, users: () => users, log });

  it('catches up with the history of a rollout that a kill cut it off from', async (t) => {
    const { start } = await opened(t);
    const audit = await start();
    const history = [1, 2, 3].map((seq) => entry(seq, `decision ${seq}`));
    const kept: KeptHistory = {
      lastEntries: () => Promise.resolve(new Map([['x-1', 3]])),
      history: (_rollout, after) => Promise.resolve(history.filter(({ seq }) => seq > after)),
    };
    const sources = sourcesOf(audit);
    await sources.decided(history[0] as RolloutEntry);
    await sources.catchUp(kept);
    await sources.catchUp(kept);
    const texts = (await recordsOf(audit)).map(({ text }) => text).slice(1);
    assert.deepEqual(texts, ['decision 1', 'decision 2', 'decision 3']);
    await audit.close();
  });

  it('records who was added, changed and removed between two readings, many robots as one', async (t) => {
    const { start } = await opened(t);
    const audit = await start();
    const user = (username: string, role = 'publisher', mark = 'a'): ListedUser => ({
      ...{ username, role, mark },
    });
    const robots = Array.from({ length: 50 }, (_, at) => user(`r${at}`, 'robot'));
    await sourcesOf(audit, [user('alice'), user('bob'), user('carol')]).compare();
    await sourcesOf(audit, [user('alice'), user('bob', 'publisher', 'b'), ...robots]).compare();
    await sourcesOf(audit, [user('alice'), user('bob', 'publisher', 'b'), ...robots]).compare();
    const found = (await recordsOf(audit)).slice(1).map(({ kind, subject }) => [kind, subject]);
    assert.deepEqual(found, [
      ['user.listed', ''],
      ['user.added', ''],
      ['user.changed', 'bob'],
      ['user.removed', 'carol'],
    ]);
    await audit.close();
  });

  it('records the options of a start when they differ from those of the last one', async (t) => {
    const { start } = await opened(t);
    const audit = await start();
    for (const leads of [true, true, false]) await sourcesOf(audit).started({ leads });
    assert.deepEqual(await kindsOf(audit), [
      'chain.began',
      'broker.configured',
      'broker.configured',
    ]);
    await audit.close();
  });
});
