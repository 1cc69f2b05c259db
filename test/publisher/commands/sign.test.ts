/** Signatures of several people in one bundle: no command removes another person's by mistake. */

import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDrover } from '../../helpers/child.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

test('sign without --add refuses to drop the signature of another person, and names the ways', async (t) => {
  const cwd = await tempFolder(t);
  await mkdir(join(cwd, 'app'));
  await writeFile(join(cwd, 'app/run'), 'x');
  const run = async (line: string) => {
    const child = startDrover(t, 'publisher', line.split(' '), { cwd });
    await child.exit;
    return child;
  };
  const ok = async (line: string): Promise<string> => {
    const child = await run(line);
    assert.equal(child.ended?.code, 0, child.describe());
    return child.stdout;
  };
  for (const name of ['a', 'b']) await ok(`keygen --out ${name}`);
  await ok('build app --version 1.0.0 --arch any --out b1');
  await ok('sign b1 --key a.key');
  await ok('sign b1 --key a.key'); // our own is made again
  const signature = join(cwd, 'b1/signature.sig');
  const before = await readFile(signature);
  for (const more of ['', ' --dry-run']) {
    const child = await run(`sign b1 --key b.key${more}`);
    assert.equal(child.ended?.code, 2, child.describe());
    assert.match(child.stderr, /somebody else has signed it.*\(FILE_EXISTS\)/);
    assert.match(child.stderr, /as well: drover sign b1 --add --key FILE; to begin afresh, first/);
    assert.match(child.stderr, /remove signature\.sig and cosignatures\.sig of the bundle/);
    assert.deepEqual(await readFile(signature), before);
  }
  await ok(
    'trust init --release a.pub --release b.pub --release-threshold 2 --rollout a.pub --out t',
  );
  const next = await ok('sign b1 --key a.key --trust t');
  assert.match(next, /wants 2 release signatures; next: drover sign b1 --add --key OTHER/);
  assert.doesNotMatch(await ok('sign b1 --key b.key --add --trust t'), /next:/);
  assert.match(await ok('sign b1 --key b.key --add'), /2 in all/);
  assert.match((await run('sign b1 --key a.key')).stderr, /FILE_EXISTS/);
  assert.match(await ok('sign b1 --key a.key --key b.key'), /2 in all/);
  await rm(signature);
  await rm(join(cwd, 'b1/cosignatures.sig'));
  assert.match(await ok('sign b1 --key b.key'), /1 in all/);
});
