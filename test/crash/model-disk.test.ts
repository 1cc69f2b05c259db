import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crashStates, visibleImage } from './crash-states.ts';
import { file, folder, imageAt, imageKey, type FolderImage } from './disk-image.ts';
import { ModelDisk } from './model-disk.ts';

const texts = (disk: ModelDisk, path: string): (string | null)[] => {
  const found = [...crashStates(disk)].map((image) => {
    const at = imageAt(image, path);
    return at?.kind === 'file' ? new TextDecoder().decode(at.bytes) : null;
  });
  return [...new Set(found)];
};

async function write(disk: ModelDisk, path: string, text: string, isSynced: boolean) {
  const handle = await disk.open(path, 'create');
  await handle.write(new TextEncoder().encode(text), 0);
  if (isSynced) await handle.sync();
  await handle.close();
}

const startOf = (image: FolderImage) => new ModelDisk(image);

describe('the model disk', () => {
  it('may lose, keep or tear what was not synced, and nothing else', async () => {
    const disk = startOf(folder({}));
    await write(disk, '/a', 'abcd', false);
    await disk.syncFolder('/');
    const seen = texts(disk, '/a');
    for (const text of ['', 'abcd', 'ab']) assert.ok(seen.includes(text), text);
    assert.ok(seen.length > 3, 'and other bytes');
    await (await disk.open('/a', 'update')).sync();
    assert.deepEqual(texts(disk, '/a'), ['abcd']);
  });

  it('keeps all that was done before a syncfs, whatever folder it was asked of, and nothing later', async () => {
    const disk = startOf(folder({ old: file('old'), d: folder({}) }));
    await write(disk, '/d/a', 'abcd', false);
    await disk.chmod('/d', 0o700);
    await disk.rename('/old', '/d/new');
    const done = imageKey(visibleImage(disk));
    assert.equal(await disk.syncAll('/d'), true);
    assert.deepEqual(
      [...crashStates(disk)].map(imageKey).filter((one) => one !== done),
      [],
    );
    await write(disk, '/d/b', 'later', true);
    assert.deepEqual(texts(disk, '/d/b'), [null, 'later']);
    assert.deepEqual(texts(disk, '/d/a'), ['abcd']);
  });

  it('keeps a name only when the folder was synced, whatever was done to the file', async () => {
    const disk = startOf(folder({}));
    await write(disk, '/a', 'abcd', true);
    assert.deepEqual(texts(disk, '/a'), [null, 'abcd']);
    await disk.syncFolder('/');
    assert.deepEqual(texts(disk, '/a'), ['abcd']);
  });

  it('renames whole or not at all, over what was there', async () => {
    const disk = startOf(folder({ a: file('new'), b: file('old') }));
    await disk.rename('/a', '/b');
    assert.deepEqual(texts(disk, '/b').sort(), ['new', 'old']);
    assert.deepEqual(texts(disk, '/a').sort(), ['new', null]);
  });

  it('promises the new place of what was moved only when that folder was synced', async () => {
    const start = folder({ from: folder({ a: file('text') }), to: folder({}) });
    const disk = startOf(start);
    await disk.rename('/from/a', '/to/a');
    await disk.syncFolder('/from');
    assert.deepEqual(texts(disk, '/from/a'), [null]);
    assert.deepEqual(texts(disk, '/to/a'), [null, 'text']);
    await disk.syncFolder('/to');
    assert.deepEqual(texts(disk, '/to/a'), ['text']);
  });

  it('persists operations on different names in any order', async () => {
    const disk = startOf(folder({}));
    for (const name of ['/a', '/b']) await disk.symlink('x', name);
    const keys = new Set([...crashStates(disk)].map(imageKey));
    assert.equal(keys.size, 4);
  });

  it('never has one inode in two places', async () => {
    const disk = startOf(folder({ a: folder({ f: file('x') }), b: folder({}) }));
    await disk.rename('/a', '/c');
    await disk.rename('/c', '/b/d');
    for (const image of crashStates(disk)) {
      const places = ['a', 'c', 'b/d'].filter((path) => imageAt(image, path) !== null);
      assert.equal(places.length, 1);
    }
  });

  it('shows a running program everything at once', async () => {
    const disk = startOf(folder({ a: folder({ f: file('x') }) }));
    await disk.removeTree('/a');
    await disk.mkdir('/b/c');
    assert.equal(imageKey(visibleImage(disk)), imageKey(folder({ b: folder({ c: folder({}) }) })));
  });
});
