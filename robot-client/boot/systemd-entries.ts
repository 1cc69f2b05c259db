/**
 * Entries of systemd-boot as names: `drover-a-7.conf` is slot A, confirmed; `drover-b-8+3-0.conf`
 * is slot B with three tries left, none used. The boot loader takes the highest version (7, 8)
 * that is confirmed or has tries left, counts a try by renaming the entry, and puts entries without
 * tries behind all others. No entry of a slot means that it is never chosen.
 * Sans-I/O.
 */

import type { BootView, SystemSlot } from './boot-slots.ts';

/** As they are called on a command line; in names of files they are lower case, as FAT wants it. */
export const ENTRY_SLOTS = ['A', 'B'] as unknown as readonly [SystemSlot, SystemSlot];

export interface BootEntry {
  /** Of the file. */
  readonly name: string;
  readonly slot: SystemSlot;
  readonly version: number;
  /** Null for one that is not counted. */
  readonly triesLeft: number | null;
  readonly triesUsed: number;
}

const NAME = /^drover-([ab])-(\d{1,8})(?:\+(\d{1,2})(?:-(\d{1,2}))?)?\.conf$/i;

/** Null for an entry of somebody else. */
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

/** The text of an entry: the lines that the integrator wrote for the slot, and its order. */
export function entryText(template: string, version: number): string {
  const own = template
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s*(?:sort-key|version)\s/.test(line));
  return [...own, 'sort-key drover', `version ${version}`, ''].join('\n');
}
