/** The parser and the planner of crash states: a wrong one would make states that no disk leaves. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  flushesFrom,
  planCrash,
  readEntries,
  SECTOR_BYTES,
  spreadFlushes,
  type LogEntry,
  type ReadLog,
} from './write-log.ts';

type Step = { sector: number; sectorCount: number } | 'flush' | 'discard';

/** A log as `blklogwrites` writes it: a super block, then for each step a header and its bytes. */
function logOf(steps: readonly Step[]): Uint8Array {
  const sector = (...fields: [at: number, value: bigint][]): Buffer => {
    const bytes = Buffer.alloc(SECTOR_BYTES);
    for (const [at, value] of fields) bytes.writeBigUInt64LE(value, at);
    return bytes;
  };
  const superBlock = sector(
    [0, 0x6a736677736872n],
    [8, 1n],
    [16, BigInt(steps.length)],
    [24, 512n],
  );
  const pieces = steps.flatMap((step) => {
    if (step === 'flush') return [sector([16, 1n])];
    if (step === 'discard') return [sector([0, 8n], [8, 100n], [16, 4n])];
    const header = sector([0, BigInt(step.sector)], [8, BigInt(step.sectorCount)]);
    return [header, Buffer.alloc(step.sectorCount * SECTOR_BYTES, 7)];
  });
  return Buffer.concat([superBlock, ...pieces, sector()]);
}

const readOf =
  (log: Uint8Array): ReadLog =>
  (offset, length) =>
    log.subarray(offset, offset + length);

const steps = fc.array(
  fc.oneof(
    fc.record({ sector: fc.nat(1000), sectorCount: fc.integer({ min: 1, max: 40 }) }),
    fc.constant('flush' as const),
    fc.constant('discard' as const),
  ),
  { maxLength: 60 },
);

test('a log is read as it was written, in one go or while it grows', () => {
  fc.assert(
    fc.property(steps, fc.nat(60), (written, split) => {
      const whole = readEntries(readOf(logOf(written)));
      const kinds = written.map((step) => (typeof step === 'string' ? step : 'write'));
      assert.deepEqual(
        whole.entries.map(({ kind }) => kind),
        kinds,
      );
      whole.entries.forEach((entry, at) => {
        const step = written[at];
        if (entry.kind !== 'write' || typeof step !== 'object') return;
        assert.deepEqual([entry.sector, entry.sectorCount], [step.sector, step.sectorCount]);
        assert.equal(logOf(written)[entry.logOffset], 7);
      });
      const first = readEntries(readOf(logOf(written.slice(0, split))));
      const rest = readEntries(readOf(logOf(written)), first.end);
      assert.deepEqual([...first.entries, ...rest.entries], whole.entries);
    }),
  );
});

test('bytes that are no log are refused', () => {
  assert.throws(() => readEntries(readOf(new Uint8Array(4096))), /not a write log/);
  assert.throws(() => readEntries(readOf(new Uint8Array())), /not a write log/);
});

test('a crash state holds a part of the writes between two flushes, in their order', () => {
  const numbers = fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }));
  fc.assert(
    fc.property(steps, numbers, fc.constantFrom(1, 8), (written, stream, tearSectors) => {
      const { entries } = readEntries(readOf(logOf(written)));
      const random = (): number => Number(stream.next().value);
      for (const flush of flushesFrom(entries, 0)) {
        const state = planCrash(entries, flush, random, { tearSectors });
        const next = entries.findIndex(({ kind }, at) => at > flush && kind === 'flush');
        assert.equal(state.until, next < 0 ? entries.length : next);
        let last = flush;
        for (const { entry, fromSector, sectorCount } of state.arrivals) {
          assert.ok(entry > last && entry < state.until);
          last = entry;
          const write = entries[entry];
          assert.ok(write?.kind === 'write');
          assert.ok(sectorCount > 0 && fromSector + sectorCount <= write.sectorCount);
          assert.equal(fromSector % tearSectors, 0);
        }
      }
    }),
  );
});

test('random states leave writes out, tear some, and sometimes keep all', () => {
  const write: LogEntry = { kind: 'write', sector: 0, sectorCount: 8, logOffset: 0 };
  const entries: LogEntry[] = [{ kind: 'flush' }, write, write, write, { kind: 'flush' }];
  const seen = { none: 0, some: 0, all: 0, torn: 0 };
  let seed = 1;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  for (let at = 0; at < 300; at += 1) {
    const { arrivals, tornCount } = planCrash(entries, 0, random, { tearSectors: 1 });
    seen[arrivals.length === 0 ? 'none' : arrivals.length === 3 ? 'all' : 'some'] += 1;
    seen.torn += tornCount;
  }
  for (const [name, count] of Object.entries(seen)) assert.ok(count > 20, `${name}: ${count}`);
});

test('flushes are chosen from every part of a run', () => {
  const flushes = Array.from({ length: 100 }, (_, at) => at * 3);
  const chosen = spreadFlushes(flushes, 10, () => 0.5);
  assert.deepEqual(
    chosen.map((flush) => Math.floor(flush / 30)),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  assert.deepEqual(
    spreadFlushes([], 5, () => 0),
    [],
  );
});
