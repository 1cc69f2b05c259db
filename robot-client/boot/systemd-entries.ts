/**
 * Names of entries of systemd-boot: `drover-a-7.conf` is slot A, confirmed; `drover-b-8+3-0.conf`
 * is slot B with three tries left and none used. The boot loader boots the highest version (7, 8)
 * that is confirmed or has tries left, counts a try by renaming the entry, and sorts entries
 * without tries behind all others. A slot without an entry is never booted.
 * Sans-I/O.
 */

import type { BootView, SystemSlot } from './boot-slots.ts';

/** Names of the slots on a command line; file names use lower case, because of FAT. */
export const ENTRY_SLOTS = ['A', 'B'] as unknown as readonly [SystemSlot, SystemSlot];

export interface BootEntry {
  /** Name of the file. */
  readonly name: string;
  readonly slot: SystemSlot;
  readonly version: number;
  /** Null for an entry without boot counting. */
  readonly triesLeft: number | null;
  readonly triesUsed: number;
}

const NAME = /^drover-([ab])-(\d{1,8})(?:\+(\d{1,2})(?:-(\d{1,2}))?)?\.conf$/i;

/** Returns null for an entry of another program. */
export function parseEntryName(name: string): BootEntry | null {
  const [, slot, version, left, used] = NAME.exec(name) ?? [];
  if (slot === undefined || version === undefined) return null;
  return {
    name,
    slot: slot.toUpperCase() as SystemSlot,
    version: Number(version),
    triesLeft: left === undefined ? null : Number(left),
    triesUsed: Number(used ?? 0),
  };
}

export const entryName = (slot: SystemSlot, version: number, tries: number | null): string =>
  `drover-${slot.toLowerCase()}-${version}${tries === null ? '' : `+${tries}-0`}.conf`;

export const parseBootEntries = (names: readonly string[]): BootEntry[] =>
  names.flatMap((name) => parseEntryName(name) ?? []).sort((a, b) => b.version - a.version);

/** @param entries the highest version first */
export function viewOfEntries(entries: readonly BootEntry[]): BootView {
  const confirmed = entries.find(({ triesLeft }) => triesLeft === null)?.slot ?? null;
  const next = entries.find(({ triesLeft }) => triesLeft !== 0)?.slot ?? null;
  const trial = entries.find(({ triesLeft, slot }) => triesLeft !== null && slot !== confirmed);
  const spoiled = ENTRY_SLOTS.filter((slot) => entries.every((entry) => entry.slot !== slot));
  return { confirmed, next, triesLeft: trial?.triesLeft ?? null, spoiled };
}

/**
 * Returns the text of an entry: the lines that the integrator wrote for the slot, and its order.
 */
export function entryText(template: string, version: number): string {
  const own = template
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s*(?:sort-key|version)\s/.test(line));
  return [...own, 'sort-key drover', `version ${version}`, ''].join('\n');
}
