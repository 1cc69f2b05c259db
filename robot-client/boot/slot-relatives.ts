/**
 * Other block devices that hold the bytes of a slot: a second loop device on the same file, or a
 * second device of the device mapper on the same disk. The kernel keeps two openers of one device
 * apart, and not those of two devices with the same bytes.
 */

import { readdir, readFile, stat } from 'node:fs/promises';

/** The facts of the kernel about its devices; a test gives another folder. */
const SYS = '/sys';

interface Range {
  readonly device: string;
  /** `dev:inode` of the file behind it. */
  readonly file: string;
  readonly from: number;
  /** Infinite for one that reaches to the end of the file. */
  readonly to: number;
}

/**
 * @param own the slot: its kernel name (`loop3`, `dm-1`), or the `dev:inode` of a plain file
 * @returns the name of another device with the same bytes; null when none is known
 */
export async function relativeOf(
  own: { readonly device: string } | { readonly file: string },
  sys = SYS,
): Promise<string | null> {
  if ('device' in own && own.device.startsWith('dm-')) return await mapperOf(own.device, sys);
  const loops = await loopsOf(sys);
  const found =
    'file' in own
      ? { device: '', file: own.file, from: 0, to: Infinity }
      : loops.find(({ device }) => device === own.device);
  if (!found) return null;
  const other = loops.find(
    ({ device, file, from, to }) =>
      device !== found.device && file === found.file && from < found.to && found.from < to,
  );
  return other?.device ?? null;
}

/** Most devices have no such file; neither has one that disappears meanwhile. */
const textOf = async (path: string): Promise<string> =>
  (await readFile(path, 'utf8').catch(() => '')).trim();

const namesOf = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

async function loopsOf(sys: string): Promise<Range[]> {
  const found: Range[] = [];
  for (const device of await namesOf(`${sys}/block`)) {
    const folder = `${sys}/block/${device}/loop`;
    const backing = await textOf(`${folder}/backing_file`);
    if (backing === '') continue;
    const file = await stat(backing).catch(() => null);
    const from = Number(await textOf(`${folder}/offset`));
    const bytes = Number(await textOf(`${folder}/sizelimit`));
    const name = file === null ? backing : `${file.dev}:${file.ino}`;
    found.push({ device, file: name, from, to: bytes > 0 ? from + bytes : Infinity });
  }
  return found;
}

/** Two volumes of one group, or two partitions of one disk, are apart by their names. */
const APART = /^(?:LVM-|part\d+-)/;

async function mapperOf(own: string, sys: string): Promise<string | null> {
  const slavesOf = (device: string) => namesOf(`${sys}/block/${device}/slaves`);
  const uuidOf = (device: string) => textOf(`${sys}/block/${device}/dm/uuid`);
  const [slaves, uuid] = [await slavesOf(own), await uuidOf(own)];
  for (const device of await namesOf(`${sys}/block`)) {
    if (!device.startsWith('dm-') || device === own) continue;
    const isBeside = (await slavesOf(device)).some((one) => slaves.includes(one));
    if (!isBeside) continue;
    const other = await uuidOf(device);
    if (!(APART.test(uuid) && APART.test(other) && uuid !== other)) return device;
  }
  return null;
}
