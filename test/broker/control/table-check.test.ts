/**
 * The checksums of real LevelDB tables: whole tables pass, and a changed byte anywhere is found.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { DurableLevel } from '../../../broker/control/durable-level.ts';
import { isWholeTable } from '../../../broker/control/table-check.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

/** LevelDB writes its log to a table when it opens the database again. */
async function makeTable(t: TestContext, valueOf: (at: number) => Uint8Array): Promise<Uint8Array> {
  const folder = await tempFolder(t);
  const first = await DurableLevel.open(folder, 'view');
  for (let at = 0; at < 50; at += 1) await first.put(`key-${at}`, valueOf(at));
  await first.close();
  await (await DurableLevel.open(folder, 'view')).close();
  const name = (await readdir(folder)).find((one) => one.endsWith('.ldb'));
  assert.ok(name);
  return await readFile(join(folder, name));
}

for (const [what, valueOf] of [
  ['compressed', (at: number) => Buffer.alloc(900, `value ${at} `)],
  ['plain', () => randomBytes(900)],
  ['empty', () => Buffer.alloc(0)],
] as const) {
  test(`a table of ${what} values is whole, and not with one byte changed or cut off`, async (t) => {
    const table = await makeTable(t, valueOf);
    assert.ok(isWholeTable(table));
    const end = table.length - 48; // the footer has no checksum; LevelDB checks its magic number
    fc.assert(
      fc.property(fc.nat(end - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Uint8Array.from(table);
        changed[at] = (changed[at] ?? 0) ^ flip;
        assert.ok(!isWholeTable(changed), `byte ${at}`);
        assert.ok(!isWholeTable(table.subarray(0, at)), `cut at ${at}`);
      }),
      { numRuns: 60 },
    );
  });
}
