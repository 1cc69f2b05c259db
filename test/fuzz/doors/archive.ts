/** The payload of a bundle: nothing of it lands beside its folder, and a refused one leaves nothing. */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { stageArchive } from '../../../robot-client/update/stage.ts';
import type { Scope } from '../../helpers/scope.ts';
import { tarOf } from '../../helpers/tar.ts';
import { BrokenPromise, type Door } from '../door.ts';
import { folderInMemory } from '../memory-folder.ts';

const GZIP_MAGIC = 0x1f;
const CANARY = 'sings';

export async function archiveDoor(scope: Scope): Promise<Door> {
  const folder = await folderInMemory(scope);
  const tar = await tarOf([
    { name: 'bin/', type: 'directory' },
    { name: 'bin/run', mode: 0o755, body: '#!/bin/sh\n' },
    { name: 'bin/link', type: 'symlink', linkname: 'run' },
    { name: 'bin/hard', type: 'link', linkname: 'bin/run' },
    { name: 'data', body: 'x'.repeat(700), pax: { 'SCHILY.xattr.user.a': 'b' } },
    { name: `${'long/'.repeat(30)}name`, body: 'deep' },
  ]);
  return {
    seeds: [tar, gzipSync(tar), gzipSync(new Uint8Array(4096))],
    words: ['ustar\u000000', '../../canary', '/canary', 'outside/x', '20 path=../x\n', '\u0000'],
    refusals: /^(?:ARCHIVE_(?:UNSAFE|TOO_LARGE|CORRUPT)|FILE_[A-Z]+)$|^DISK_WRITE_FAILED$/,
    batch: 16,
    open: (input) => stageIn(folder, input),
  };
}

/** On a real disk, since only that follows links; in memory, since nothing of it has to last. */
async function stageIn(folder: string, input: Uint8Array): Promise<void> {
  const at = (name: string): string => join(folder, name);
  await Promise.all([
    mkdir(at('outside'), { recursive: true }),
    writeFile(at('payload'), input),
    writeFile(at('canary'), CANARY),
  ]);
  const packing = input[0] === GZIP_MAGIC ? 'gzip' : 'plain';
  const job = { disk: realDisk, packing, payloadPath: at('payload') } as const;
  const packedBytes = input.byteLength;
  let refusal: unknown = null;
  await stageArchive({ ...job, packedBytes, intoFolder: at('tree') }).catch(
    (error: unknown) => (refusal = error),
  );
  const expected = ['canary', 'outside', 'payload', ...(refusal === null ? ['tree'] : [])];
  const isSafe =
    (await readdir(at('outside'))).length === 0 &&
    (await readFile(at('canary'), 'utf8')) === CANARY &&
    (await readdir(folder)).sort().join() === expected.join();
  if (!isSafe) throw new BrokenPromise('it wrote beside its folder, or left one behind');
  if (refusal !== null) throw refusal as Error;
}
