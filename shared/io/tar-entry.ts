/**
 * Writes one entry of a tar. tar-stream ends the open entry together with its archive and emits the
 * failure on both: without a listener on the entry the program would end when the reader of the
 * archive leaves, for instance by Ctrl-C. So every entry is opened here, and its end is a promise
 * that may be awaited late.
 */

import type { Header, Pack } from 'tar-stream';

type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

export interface OpenEntry {
  readonly sink: ReturnType<Pack['entry']>;
  /** Resolves when the reader has taken it: nothing piles up behind a slow disk or link. */
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
  sink.on('error', () => undefined); // the callback reports it
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
