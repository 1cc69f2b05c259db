/** The file systems whose crash states are tried: how each is made and mounted. */

import { runTool } from '../helpers/block-device.ts';

export const FILE_SYSTEMS = ['ext4', 'xfs', 'btrfs'] as const;
export type FileSystem = (typeof FILE_SYSTEMS)[number];

interface Kind {
  readonly imageBytes: number;
  readonly make: readonly [program: string, ...args: string[]];
  readonly options: string;
  /** Sectors in one write of the device: a write is torn at multiples of it. */
  readonly tearSectors: number;
}

const MIB = 2 ** 20;

/**
 * No discard: a log of it holds no bytes. `nouuid`: states of one disk share their identity.
 * btrfs does not mount with a torn super block, and xfs was seen to report damage of its own
 * (EUCLEAN) after a write that was torn at 512 bytes: both are torn at 4 KiB.
 */
const KINDS: Readonly<Record<FileSystem, Kind>> = {
  ext4: {
    imageBytes: 96 * MIB,
    make: ['mkfs.ext4', '-q', '-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0'],
    options: 'noatime,nodiscard,commit=1',
    tearSectors: 1,
  },
  xfs: {
    imageBytes: 304 * MIB,
    make: ['mkfs.xfs', '-q', '-K', '-f'],
    options: 'noatime,nouuid',
    tearSectors: 8,
  },
  btrfs: {
    imageBytes: 160 * MIB,
    make: ['mkfs.btrfs', '-q', '-K', '-f', '-M'],
    options: 'noatime,nodiscard,commit=1',
    tearSectors: 8,
  },
};

export const kindOf = (fileSystem: FileSystem): Kind => KINDS[fileSystem];

export function makeFileSystem(fileSystem: FileSystem, device: string): void {
  const [program, ...args] = KINDS[fileSystem].make;
  runTool(program, ...args, device);
}

/** Replays the journal. @throws Error when the file system cannot be mounted */
export function mountFileSystem(fileSystem: FileSystem, device: string, folder: string): void {
  runTool('mount', '-t', fileSystem, '-o', KINDS[fileSystem].options, device, folder);
}
