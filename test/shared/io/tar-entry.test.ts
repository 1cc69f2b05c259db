/**
 * An archive that ends before its entries do: only the caller that waits for an entry gets the
 * error.
 */

import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, it } from 'node:test';
import tar from 'tar-stream';
import { addEntry, openEntry, roomInEntry } from '../../../shared/io/tar-entry.ts';

const FOLDER = { name: 'd', type: 'directory', mode: 0o755 } as const;
const file = (name: string) => ({ name, mode: 0o644 });
/** A reader that fails after its first piece, as a disk that is full. */
const fullDisk = (): Writable =>
  new Writable({ write: (_piece, _encoding, done) => done(new Error('no space')) });

describe('an entry of an archive', () => {
  it('is refused, and ends nothing else, when its reader goes away in the middle', async () => {
    const pack = tar.pack();
    const written = pipeline(pack as unknown as NodeJS.ReadableStream, fullDisk());
    const added = addEntry(pack, file('a'), Buffer.alloc(2 ** 20));
    await assert.rejects(written, /no space/);
    await assert.rejects(added);
    await assert.rejects(addEntry(pack, FOLDER, null), /destroyed/);
  });

  it('is refused also while it waits for its turn or for room', async () => {
    const pack = tar.pack();
    const first = openEntry(pack, { ...file('a'), size: 2 ** 20 });
    const second = openEntry(pack, { ...file('b'), size: 1 });
    const folder = addEntry(pack, FOLDER, null);
    while (first.sink.write(Buffer.alloc(64 * 1024)));
    const room = roomInEntry(first, pack);
    pack.destroy(new Error('hung up'));
    pack.on('error', () => undefined); // only the reader of the archive gets it
    for (const waits of [room, first.done, second.done, folder]) await assert.rejects(waits);
    await assert.rejects(roomInEntry(first, pack), /abandoned/);
  });
});
