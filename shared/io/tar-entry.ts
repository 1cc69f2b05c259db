/**
 * One entry of a tar that is being written. tar-stream ends the open entry together with its
 * archive and tells the failure on both: an entry whose 'error' nobody hears would end the program
 * as soon as whoever reads the archive goes away, be it a person who pressed Ctrl-C. So entries are
 * opened here and nowhere else, and how one ended is a promise that may be awaited late.
 */

import type { Header, Pack } from 'tar-stream';

type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

export interface OpenEntry {
  readonly sink: ReturnType<Pack['entry']>;
  /** Resolves when whoever reads has taken it: nothing piles up behind a slow disk or link. */
  readonly done: Promise<void>;
}

/** @throws Error when the archive has ended */
export function openEntry(pack: Pack, header: EntryHeader): OpenEntry {
  let settle: (error?: Error | null) => void = () => undefined;
  const done = new Promise<void>((resolve, reject) => {
    settle = (error) => (error ? reject(error) : resolve());
  });
  done.catch(() => undefined); // awaited after the last piece; an earlier failure ends the archive
  const sink = pack.entry(header, (error) => settle(error));
  sink.on('error', () => undefined); // told by the callback
  return { sink, done };
}

/** A whole entry: its bytes, or none for a folder or a link. */
export async function addEntry(
  pack: Pack,
  header: Omit<EntryHeader, 'size'> & Pick<EntryHeader, 'name'>,
  bytes: Uint8Array | null,
): Promise<void> {
  const { sink, done } = openEntry(pack, { ...header, size: bytes?.byteLength ?? 0 });
  if (bytes) sink.end(bytes);
  await done;
}

/** Waits for room; a reader that went away ends the wait as well. */
export async function roomInEntry({ sink }: OpenEntry, pack: Pack): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    if (pack.destroyed) return reject(new Error('the archive was abandoned'));
    const onClose = (): void => {
      sink.off('drain', onDrain);
      reject(new Error('the archive was abandoned'));
    };
    const onDrain = (): void => {
      pack.off('close', onClose);
      resolve();
    };
    sink.once('drain', onDrain);
    pack.once('close', onClose);
  });
}
