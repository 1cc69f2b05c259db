/**
 * Uses systemd-boot with boot counting: entries in `loader/entries/` of its partition, made from a
 * template for each slot in `loader/drover/a.conf` and `b.conf`.
 *
 * The partition is FAT, where a rename over an existing file may lose both files. So a new entry
 * has its own name, and is complete and durable before the boot loader can see it. Only then is the
 * old entry removed; until then both exist and lead to the same slot.
 */

import { DroverError } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { Disk } from '../install/disk-port.ts';
import {
  assertNotConfirmed,
  assertOneOfTwo,
  assertRunning,
  assertTries,
  otherOf,
  type BootSlots,
  type BootView,
  type SystemSlot,
} from './boot-slots.ts';
import { writeWhole } from '../install/small-file.ts';
import {
  parseBootEntries,
  entryName,
  entryText,
  ENTRY_SLOTS,
  viewOfEntries,
  type BootEntry,
} from './systemd-entries.ts';

export class SystemdBoot implements BootSlots {
  readonly running: SystemSlot;
  readonly other: SystemSlot;
  readonly #disk: Disk;
  readonly #entries: string;
  readonly #templates: string;

  /**
   * @param folder mount point of the partition: `/efi`, `/boot`
   * @throws DroverError BOOT_SLOT_UNKNOWN
   */
  constructor(running: SystemSlot, disk: Disk, folder: string) {
    this.other = otherOf(ENTRY_SLOTS, running, 'the slot that runs');
    this.running = running;
    this.#disk = disk;
    this.#entries = `${folder}/loader/entries`;
    this.#templates = `${folder}/loader/drover`;
  }

  async look(): Promise<BootView> {
    return viewOfEntries(await this.#list());
  }

  async spoil(slot: SystemSlot): Promise<void> {
    assertOneOfTwo(this, slot);
    const entries = await this.#list();
    this.#assertMayChange(slot, entries);
    await this.#remove(entries.filter((entry) => entry.slot === slot));
  }

  async tryNext(slot: SystemSlot, tries: number): Promise<void> {
    assertTries(tries);
    assertOneOfTwo(this, slot);
    const entries = await this.#list();
    this.#assertMayChange(slot, entries);
    const own = entries.filter((entry) => entry.slot === slot);
    const [newest] = entries;
    const isThere = newest?.slot === slot && newest.triesLeft === tries && newest.triesUsed === 0;
    if (!isThere) await this.#add(slot, nextVersion(entries), tries);
    await this.#remove(isThere ? own.filter((entry) => entry !== newest) : own);
  }

  async confirm(slot: SystemSlot): Promise<void> {
    assertOneOfTwo(this, slot);
    assertRunning(slot, this);
    const entries = await this.#list();
    const own = entries.filter((entry) => entry.slot === slot);
    const kept =
      viewOfEntries(entries).confirmed === slot
        ? own.find(({ triesLeft }) => triesLeft === null)
        : undefined;
    if (kept === undefined) await this.#add(slot, nextVersion(entries), null);
    await this.#remove(own.filter((entry) => entry !== kept));
  }

  #assertMayChange(slot: SystemSlot, entries: readonly BootEntry[]): void {
    const view = viewOfEntries(entries);
    assertNotConfirmed(slot, view);
    if (view.confirmed !== null) return;
    const why = 'it has no entry drover-*.conf of a slot that is good';
    throw new DroverError('BOOT_STATE_DAMAGED', `change slot ${slot}: ${this.#entries}: ${why}`);
  }

  async #list(): Promise<BootEntry[]> {
    return parseBootEntries(await this.#disk.list(this.#entries));
  }

  async #add(slot: SystemSlot, version: number, tries: number | null): Promise<void> {
    const from = `${this.#templates}/${slot.toLowerCase()}.conf`;
    const template = await this.#disk.readFile(from, LIMITS.bootTemplateBytesMax);
    if (template === null) {
      const why = `no such file (want the lines of the entry of slot ${slot}: linux, initrd, options)`;
      throw new DroverError('BOOT_STATE_DAMAGED', `read ${from}: ${why}`, {
        hint: 'write it: docs/system-images.md has an example',
      });
    }
    const text = entryText(new TextDecoder().decode(template), version);
    const path = `${this.#entries}/${entryName(slot, version, tries)}`;
    await writeWhole(this.#disk, path, new TextEncoder().encode(text));
  }

  async #remove(entries: readonly BootEntry[]): Promise<void> {
    for (const { name } of entries) await this.#disk.unlink(`${this.#entries}/${name}`);
    // Sync even without an entry: an earlier run may have been interrupted before its sync.
    await this.#disk.syncFolder(this.#entries);
  }
}

const nextVersion = (entries: readonly BootEntry[]): number => {
  const version = (entries[0]?.version ?? 0) + 1;
  if (version < LIMITS.bootEntriesMax) return version;
  throw new DroverError('BOOT_STATE_DAMAGED', `add an entry: version ${version} is too high`);
};
