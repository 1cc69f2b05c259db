/**
 * A real ext4 on a disk whose blocks can be made to fail while it is mounted. `qemu-storage-daemon`
 * exports a raw file over FUSE with the driver `blkdebug` in between, and a loop device stands on
 * it. The block layer then returns EIO, as with a card that dies.
 */

import { createConnection } from 'node:net';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { detachLoop, runTool, unmountFolder } from '../helpers/block-device.ts';
import type { Child } from '../helpers/child.ts';
import type { Scope } from '../helpers/scope.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { kindOf, makeFileSystem, mountFileSystem } from './file-systems.ts';
import { exportLoop } from './fuse-export.ts';

export const FAILING_DISK_PROGRAMS = [
  ...['qemu-storage-daemon', 'losetup', 'mount', 'umount', 'mkfs.ext4'],
  ...['e2fsck', 'debugfs'],
];

const EIO = 5;
const FILE_SYSTEM = 'ext4';
const SECTOR_BYTES = 512;
const QMP_MS = 10_000;

/** The failing operations: reads of some sectors, every write, or only flushes. */
type Sickness =
  | { readonly kind: 'reads'; readonly sectors: readonly number[] }
  | { readonly kind: 'writes' }
  | { readonly kind: 'flushes' };

type Rule = Readonly<Record<string, unknown>>;

function rulesOf(sickness: Sickness): Rule[] {
  const rule = { errno: EIO, once: false, immediately: false, event: 'none' };
  if (sickness.kind === 'flushes') return [{ ...rule, iotype: 'flush' }];
  if (sickness.kind === 'writes') return ['write', 'flush'].map((iotype) => ({ ...rule, iotype }));
  return sickness.sectors.map((sector) => ({ ...rule, sector, iotype: 'read' }));
}

const nodeOf = (name: string, sickness: Sickness): object => ({
  ...{ driver: 'blkdebug', 'node-name': name, image: 'well' },
  'inject-error': rulesOf(sickness),
});

export class FailingDisk {
  /** The mount point of the file system. */
  readonly folder: string;
  readonly #scope: Scope;
  readonly #home: string;
  readonly #export: string;
  #device: string | null = null;
  #daemon: Child | null = null;
  #sicknesses = 0;

  private constructor(scope: Scope, home: string) {
    this.#scope = scope;
    this.#home = home;
    this.folder = join(home, 'disk');
    this.#export = join(home, 'export.img');
  }

  static async open(scope: Scope): Promise<FailingDisk> {
    let made: FailingDisk | null = null;
    const close = (): void => {
      process.removeListener('exit', close);
      made?.detach();
    };
    process.once('exit', close);
    // Before and after the folder that holds the mount: hooks of a test run in the order they were
    // given, those of a bench the other way round.
    scope.after(close);
    const disk = new FailingDisk(scope, await tempFolder(scope));
    made = disk;
    await disk.#make();
    scope.after(close);
    return disk;
  }

  async #make(): Promise<void> {
    const { imageBytes } = kindOf(FILE_SYSTEM);
    await mkdir(this.folder);
    for (const file of [this.#raw, this.#export]) await writeFile(file, '');
    await truncate(this.#raw, imageBytes);
    await this.#attach();
    makeFileSystem(FILE_SYSTEM, this.#device ?? '');
    this.mount();
  }

  async #attach(sickness: Sickness | null = null): Promise<void> {
    const top = { driver: 'raw', 'node-name': 'top', file: sickness ? 'sick0' : 'well' };
    const sick = sickness ? ['--blockdev', JSON.stringify(nodeOf('sick0', sickness))] : [];
    const { daemon, device } = await exportLoop(this.#scope, this.#export, [
      ...['--blockdev', `driver=file,node-name=well,filename=${this.#raw}`],
      ...sick,
      ...['--blockdev', JSON.stringify(top)],
      ...['--chardev', `socket,id=c,path=${this.#socket},server=on,wait=off`],
      ...['--monitor', 'chardev=c'],
    ]);
    [this.#daemon, this.#device] = [daemon, device];
  }

  get #raw(): string {
    return join(this.#home, 'disk.img');
  }

  get #socket(): string {
    return join(this.#home, 'qmp.sock');
  }

  mount(): void {
    mountFileSystem(FILE_SYSTEM, this.#device ?? '', this.folder);
  }

  /** Sectors of the blocks in which the bytes of a file or the names of a folder are. */
  sectorsOf(path: string): number[] {
    runTool('sync', '-f', this.folder);
    const inside = path.slice(this.folder.length);
    const listed = runTool('debugfs', '-R', `blocks "${inside}"`, this.#device ?? '');
    const blocks = listed.split(/\s+/).filter(Boolean).map(Number);
    if (blocks.length === 0) throw new Error(`${inside}: no blocks (${listed})`);
    const sectorsOfBlock = Number(runTool('stat', '-f', '-c', '%S', this.folder)) / SECTOR_BYTES;
    return blocks.map((block) => block * sectorsOfBlock);
  }

  /**
   * From now on, while it is mounted. Not for reads: this machine has what was written in its
   * memory, and reads it from there.
   */
  async fallSick(sickness: Sickness): Promise<void> {
    this.#sicknesses += 1;
    const node = `sick${this.#sicknesses}`;
    await this.#ask('blockdev-add', nodeOf(node, sickness));
    const top = { driver: 'raw', 'node-name': 'top', file: node };
    await this.#ask('blockdev-reopen', { options: [top] });
  }

  /** As after a boot: nothing of the disk is in memory. */
  async comeBack(sickness: Sickness): Promise<void> {
    await this.close();
    await this.#attach(sickness);
    this.mount();
  }

  /** A disk without errors that has what reached this one, after a check and a boot. */
  async mend(): Promise<void> {
    await this.close();
    await this.#attach();
    try {
      runTool('e2fsck', '-fy', this.#device ?? '');
    } catch {
      // its exit code is 1 when it put something right
    }
    this.mount();
  }

  async #ask(execute: string, args: object): Promise<void> {
    const socket = createConnection(this.#socket);
    socket.setEncoding('utf8').setTimeout(QMP_MS, () => socket.destroy());
    let said = '';
    const failed = new Promise<never>((_, reject) => {
      socket.once('error', reject).once('close', () => reject(new Error(`${execute}: ${said}`)));
    });
    failed.catch(() => {}); // the race below tells it
    socket.on('data', (text: string) => void (said += text));
    const commands = [{ execute: 'qmp_capabilities' }, { execute, arguments: args, id: 'asked' }];
    for (const command of commands) socket.write(`${JSON.stringify(command)}\n`);
    const answer = waitUntil(`an answer to ${execute}`, () => {
      const line = said.split('\n').find((one) => one.includes('"asked"'));
      return line === undefined ? null : line;
    });
    const line = await Promise.race([answer, failed]);
    socket.destroy();
    if (line.includes('"error"')) throw new Error(`${execute}: ${line}`);
  }

  async close(): Promise<void> {
    const daemon = this.#daemon;
    this.detach();
    await daemon?.exit;
  }

  /** May be called twice. */
  detach(): void {
    if (this.#device === null) return;
    unmountFolder(this.folder);
    detachLoop(this.#device);
    this.#device = null;
    this.#daemon?.kill('SIGTERM');
    unmountFolder(this.#export);
  }
}
