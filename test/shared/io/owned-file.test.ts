import assert from 'node:assert/strict';
import { chmod, chown, lchown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { judgePath, judgeSearched, whyUnsafe, type Judged } from '../../../shared/io/owned-file.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;

/** The users who may change the path, and the place on the way to it. */
function told({ others, owner, group }: Judged): string {
  const all = { others, owner, group };
  return Object.entries(all)
    .flatMap(([who, found]) => (found ? `${who} ${found.why}; ${found.mend}` : []))
    .join(' | ');
}

async function makeTree(t: TestContext): Promise<{ readonly top: string; readonly file: string }> {
  const top = join(await tempFolder(t), 'top');
  await mkdir(join(top, 'in'), { recursive: true });
  await chmod(top, 0o755);
  await chmod(join(top, 'in'), 0o755);
  const file = join(top, 'in', 'file');
  await writeFile(file, '');
  await chmod(file, 0o644);
  return { top, file };
}

describe('a user who may change a path', () => {
  it('is no other when it belongs to this user, also below a sticky folder', async (t) => {
    const { top, file } = await makeTree(t);
    assert.equal(told(await judgePath(file)), '');
    await chmod(top, 0o1777);
    assert.equal(told(await judgePath(file)), '');
    assert.equal(whyUnsafe(file), null);
  });

  it('is everybody, or a group, by the file and by each folder above it', async (t) => {
    const { top, file } = await makeTree(t);
    for (const place of [file, join(top, 'in'), top]) {
      const before = place === file ? 0o644 : 0o755;
      await chmod(place, before | 0o002);
      assert.match(told(await judgePath(file)), /^others .* may be written by others \(mode 7?6?/);
      assert.ok(whyUnsafe(file)?.why.startsWith(`${place} may be`), place);
      await chmod(place, before | 0o020);
      assert.match(told(await judgePath(file)), /^group .* may be written by its group \(mode/);
      await chmod(place, before);
    }
    assert.equal(told(await judgePath(file)), '');
  });

  it('counts for what is absent: who may write the folder may make it', async (t) => {
    const { top } = await makeTree(t);
    await chmod(join(top, 'in'), 0o777);
    const absent = join(top, 'in', 'absent');
    assert.match(told(await judgePath(absent)), /^others .*\/in may be written by others/);
    assert.equal(whyUnsafe(absent), null, 'a command that reads it says that it is not there');
    assert.equal(told(await judgePath(join(top, 'none', 'absent'))), '');
  });

  it('follows each link, to where it leads and by the folder in which it stands', async (t) => {
    const [own, open] = [await makeTree(t), await makeTree(t)];
    const link = join(own.top, 'link');
    await symlink(open.file, link);
    assert.equal(told(await judgePath(link)), '');
    await chmod(open.top, 0o777);
    assert.match(told(await judgePath(link)), /^others .*\/top may be written by others/);
    await chmod(open.top, 0o755);
    await chmod(own.top, 0o777);
    assert.match(told(await judgePath(link)), /^others .*\/top may be written by others/);
    await chmod(own.top, 0o755);
    const up = join(own.top, 'in', 'up');
    await symlink('../in/../in/file', up);
    assert.equal(told(await judgePath(up)), '');
    await symlink('loop', join(own.top, 'loop'));
    assert.equal(told(await judgePath(join(own.top, 'loop', 'file'))), '');
  });

  it('is another user who owns a file, a folder above it, or a link to it', async (t) => {
    if (!isRoot) return t.skip('only root gives a file away');
    const { top, file } = await makeTree(t);
    for (const place of [file, top]) {
      await chown(place, NOBODY, NOBODY);
      const words = told(await judgePath(file));
      assert.equal(words, `owner ${place} belongs to another user (uid 65534); chown 0 ${place}`);
      await chown(place, 0, 0);
    }
    const link = join(top, 'link');
    await symlink(file, link);
    await lchown(link, NOBODY, NOBODY);
    assert.match(told(await judgePath(link)), /^owner .*\/link belongs .*; chown -h 0 /);
  });

  it('is one user for what that user has in a sticky folder, and everybody in a folder of PATH', async (t) => {
    if (!isRoot) return t.skip('only root gives a file away');
    const { top } = await makeTree(t);
    const folder = join(top, 'in');
    await chmod(top, 0o1777);
    await chown(folder, NOBODY, NOBODY);
    assert.match(told(await judgePath(join(folder, 'file'))), /^owner [^|]*$/);
    assert.match(told(await judgeSearched(folder)), /^others .* others may add to .* \| owner /);
  });
});
