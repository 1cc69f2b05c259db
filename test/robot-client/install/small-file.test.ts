/** Odd things in the place of a small file hold up no agent, and take none of its memory. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { SystemSlot } from '../../../robot-client/boot/boot-slots.ts';
import { versionsInSlots, writeSlotRecord } from '../../../robot-client/boot/slot-records.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { notMounted, rememberMount } from '../../../robot-client/install/mount-memory.ts';
import { NO_FOLDERS } from '../../../robot-client/install/outside-root.ts';
import { nameOfPath } from '../../../robot-client/install/path-lock.ts';
import { readPlainNow } from '../../../robot-client/install/small-file.ts';
import { ModuleFolder } from '../../../robot-client/modules/module-folder.ts';
import { noteIn, noteOf } from '../../../robot-client/modules/orphans.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const GIGABYTE = 2 ** 30;

/** Things that may stand where a small file should; a reader of the FIFO would wait for ever. */
const ODD: Readonly<Record<string, (path: string) => void>> = {
  'a FIFO': (path) => void execFileSync('mkfifo', [path]),
  'a folder': (path) => mkdirSync(path),
  'a link to itself': (path) => symlinkSync(path, path),
  'a file of a gigabyte': (path) => {
    writeFileSync(path, '');
    truncateSync(path, GIGABYTE);
  },
};

describe('in the place of a small file', () => {
  for (const [what, make] of Object.entries(ODD)) {
    it(`${what} is refused at once, and stays`, async (t) => {
      const folder = await tempFolder(t);
      const root = join(folder, 'root');
      mkdirSync(join(root, 'state'), { recursive: true });
      const note = join(root, 'state/verb');
      make(note);
      const { ino } = lstatSync(note);
      assert.throws(() => readPlainNow(note));
      assert.equal(noteIn(note), null);
      const memory = { ...NO_FOLDERS, memory: join(folder, 'memory') };
      mkdirSync(join(memory.memory, 'mounts'), { recursive: true });
      make(join(memory.memory, 'mounts', `${nameOfPath(root)}.json`));
      assert.equal(notMounted(root, memory), null);
      await rememberMount(root, memory);
      assert.equal(lstatSync(note).ino, ino);
    });
  }

  it('a slot record counts as damaged, and the other slot is known', async (t) => {
    for (const make of Object.values(ODD)) {
      const layout = layoutOf(await tempFolder(t));
      const record = { version: '1.0.0', sha256: sha256Hex(new Uint8Array()), size: 1 };
      await writeSlotRecord(realDisk, layout, { ...record, slot: 'B' as SystemSlot });
      make(join(layout.systemSlots, 'A'));
      assert.deepEqual(await versionsInSlots(realDisk, layout), ['1.0.0']);
    }
  });

  it('a FIFO is no note: a verb runs beside it', async (t) => {
    const folder = await tempFolder(t);
    const [root, modules] = [join(folder, 'root'), join(folder, 'modules.d')];
    for (const path of [join(root, 'state'), modules]) await mkdir(path, { recursive: true });
    await writeFile(join(modules, 'arm'), '#!/bin/sh\nexit 0\n');
    await chmod(join(modules, 'arm'), 0o755);
    ODD['a FIFO']?.(join(root, 'state/verb'));
    assert.equal(await noteOf(root, 'verb'), undefined);
    const run = { module: 'arm', verb: 'switch', root, timeoutMs: 60_000 } as const;
    const env = { DROVER_VERB: 'switch', DROVER_ROOT: root };
    assert.equal((await new ModuleFolder(modules).run({ ...run, env })).result.kind, 'ok');
    assert.ok(lstatSync(join(root, 'state/verb')).isFIFO());
  });
});
