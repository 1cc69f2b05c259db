import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  addCounts,
  beginStint,
  encodeUsage,
  freshUsage,
  parseUsage,
  stintsOf,
  type Usage,
} from '../../../robot-client/fleet/usage.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { UsageBook } from '../../../robot-client/fleet/usage-file.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { tempFolder, withTempFolder } from '../../helpers/temp-folder.ts';

const LOG = makeLog('test', 'silent');
const RUNNING = [{ name: 'app', version: '1.0.0', rollout: null }];

describe('the usage of a component', () => {
  it('begins a stint with each version that becomes active, and keeps the last few', () => {
    let usage = freshUsage('e');
    for (let turn = 1; turn <= 6; turn += 1) {
      const now = { version: `1.${turn}.0`, rollout: `x-${turn}` };
      usage = beginStint(usage, 'app', now);
      assert.equal(beginStint(usage, 'app', now), usage, 'the same version is the same stint');
    }
    const stints = stintsOf(usage, 'app');
    assert.equal(stints.length, LIMITS.usageStintsMax);
    assert.deepEqual(
      stints.map(({ stint, version }) => [stint, version]),
      [6, 5, 4, 3].map((turn) => [turn, `1.${turn}.0`]),
    );
  });

  it('adds to the stint that runs and to no other', () => {
    let usage = beginStint(freshUsage('e'), 'app', { version: '1.0.0', rollout: null });
    usage = addCounts(usage, 'app', { tasks_completed: 3, crashes: 1, run_s: 1.25 });
    usage = beginStint(usage, 'app', { version: '1.1.0', rollout: 'x' });
    usage = addCounts(usage, 'app', { tasks_failed: 2 });
    const [now, before] = stintsOf(usage, 'app');
    assert.deepEqual([now?.tasks_failed, now?.tasks_completed, now?.crashes], [2, 0, 0]);
    assert.deepEqual([before?.tasks_completed, before?.crashes, before?.run_s], [3, 1, 1.3]);
    assert.deepEqual(parseUsage(encodeUsage(usage)), usage);
  });

  it('never falls, whatever is added', () => {
    const counts = fc.record({ crashes: fc.integer(), tasks_failed: fc.integer({ min: 0 }) });
    fc.assert(
      fc.property(fc.array(counts), (many) => {
        let usage: Usage = beginStint(freshUsage('e'), 'app', { version: null, rollout: null });
        for (const one of many) {
          const before = stintsOf(usage, 'app')[0];
          usage = addCounts(usage, 'app', one);
          const after = stintsOf(usage, 'app')[0];
          assert.ok((after?.crashes ?? 0) >= (before?.crashes ?? 0));
          assert.ok((after?.tasks_failed ?? 0) >= (before?.tasks_failed ?? 0));
        }
      }),
    );
  });
});

describe('the book of usage', () => {
  it('tells only what is on the disk, so that no power cut makes a total fall [P-8.8]', async () => {
    const step = fc.constantFrom('count', 'save', 'cut');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        await withTempFolder(async (folder) => {
          const path = join(folder, 'usage.json');
          const open = async (): Promise<UsageBook> => {
            const book = new UsageBook(realDisk, path, LOG);
            await book.load();
            book.observe(RUNNING);
            return book;
          };
          let book = await open();
          const told = new Map<string, number>();
          for (const one of steps) {
            if (one === 'count') book.add('app', { tasks_completed: 1 });
            if (one === 'save') await book.save();
            if (one === 'cut') book = await open();
            for (const { stint, tasks_completed: total } of book.told('app')) {
              const key = `${book.epoch} ${stint}`;
              assert.ok(total >= (told.get(key) ?? 0), key);
              told.set(key, total);
            }
          }
        });
      }),
      { numRuns: 25 },
    );
  });

  it('begins another epoch when its file is damaged or gone', async (t) => {
    const path = join(await tempFolder(t), 'usage.json');
    const open = async (): Promise<UsageBook> => {
      const book = new UsageBook(realDisk, path, LOG);
      await book.load();
      book.observe(RUNNING);
      book.add('app', { crashes: 2 });
      await book.save();
      return book;
    };
    const first = await open();
    const again = await open();
    assert.equal(again.epoch, first.epoch);
    assert.equal(again.told('app')[0]?.crashes, 4);
    await writeFile(path, '{"schema":1,');
    const damaged = await open();
    assert.notEqual(damaged.epoch, first.epoch);
    assert.equal(damaged.told('app')[0]?.crashes, 2);
    assert.match(await readFile(`${path}.corrupt`, 'utf8'), /^\{"schema":1,$/);
    await rm(path);
    assert.notEqual((await open()).epoch, damaged.epoch);
  });
});
