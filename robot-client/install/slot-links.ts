/**
 * Sets and removes the links of a root. A person's link may lead through one of them, from the
 * other slot (`active -> rollback`) or from a root of another component. A slot of this root is
 * first led straight to its release, so that it still leads there when the link has changed. For
 * a slot of another component the link stays as it is.
 */

import { DroverError, nullIfFailed } from '../../shared/base/errors.ts';
import { inWords, type Disk } from './disk-port.ts';
import { layoutOf, linkTarget, releaseFolder, type Layout } from './layout.ts';
import { followPath, readSlots } from './read-slots.ts';
import { withSpareInode } from './state-spare.ts';
import { versionOf, type Lead, type SlotName } from './slots.ts';

const SLOTS = ['active', 'rollback'] as const;

/** A slot that leads somewhere, and comes by a link on its way. */
export interface LeadOver {
  readonly path: string;
  /** Null for a slot of another component. */
  readonly own: SlotName | null;
  /** Identity of the folder that it leads to. */
  readonly endId: string;
}

/** Slots of the robot that lead somewhere through a link, which is none of them itself. */
export async function leadsOver(disk: Disk, layout: Layout, link: string): Promise<LeadOver[]> {
  const id = await nullIfFailed(disk.identity(link));
  if (id === null) return []; // nothing leads through what is not there
  const places = [
    ...SLOTS.map((own) => ({ own, path: layout[own] })),
    ...layout.siblings.flatMap((root) =>
      SLOTS.map((slot) => ({ own: null, path: layoutOf(root)[slot] })),
    ),
  ];
  const found: LeadOver[] = [];
  for (const { own, path } of places.filter((one) => one.path !== link)) {
    const { end, way } = await followPath(disk, path);
    if (end.kind !== 'there' || !(await comesBy(disk, way, id))) continue;
    found.push({ path, own, endId: end.id });
  }
  return found;
}

/** By the link itself and not by its path: a bind mount shows it under another one. */
async function comesBy(disk: Disk, way: Lead['way'], id: string): Promise<boolean> {
  for (const hop of way) if ((await nullIfFailed(disk.identity(hop))) === id) return true;
  return false;
}

interface Change {
  /**
   * True when the link will lead to a whole release: links through it to the present folder then
   * follow.
   */
  readonly mayFollow: boolean;
  /** True for a swap to another version: the spare files are for the way back from it. */
  readonly isForward: boolean;
}

/**
 * Makes a link free to be changed.
 * @throws DroverError SLOT_SHARED when something else needs it as it is
 */
async function keepLeads(
  disk: Disk,
  layout: Layout,
  { link, mayFollow, isForward }: Change & { readonly link: string },
): Promise<void> {
  const { end } = await followPath(disk, link);
  const endId = end.kind === 'there' ? end.id : null;
  for (const lead of await leadsOver(disk, layout, link)) {
    if (mayFollow && lead.endId === endId) continue;
    if (lead.own === null) throw sharedError(link, lead.path);
    await straighten(disk, layout, { slot: lead.own, link, isForward });
  }
}

function sharedError(link: string, by: string): DroverError {
  return new DroverError('SLOT_SHARED', `change ${link}: ${by} leads through it`);
}

/** The slot leads to the release that it led to, and not through the link any more, durably. */
async function straighten(
  disk: Disk,
  layout: Layout,
  { slot, link, isForward }: { slot: SlotName; link: string; isForward: boolean },
): Promise<void> {
  const { [slot]: found } = await readSlots(disk, layout);
  const version = versionOf(found);
  const id = await nullIfFailed(disk.identity(link));
  if (version === null || id === null) throw sharedError(link, layout[slot]);
  const { way } = await followPath(disk, releaseFolder(layout, version));
  if (await comesBy(disk, way, id)) throw sharedError(link, layout[slot]);
  await pointLink(disk, layout, { link: layout[slot], version, isForward });
  await disk.syncFolder(layout.root);
}

/**
 * A slot leads to a release; not synced.
 * @throws DroverError SLOT_SHARED, or of the disk
 */
export async function pointSlot(
  disk: Disk,
  layout: Layout,
  to: { slot: SlotName; version: string } & Partial<Change>,
): Promise<void> {
  const { slot, version, mayFollow = false, isForward = false } = to;
  await keepLeads(disk, layout, { link: layout[slot], mayFollow, isForward });
  await pointLink(disk, layout, { link: layout[slot], version, isForward });
}

/** A link appears whole or not at all: made beside, then renamed over. */
async function pointLink(
  disk: Disk,
  layout: Layout,
  { link, version, isForward }: { link: string; version: string; isForward: boolean },
): Promise<void> {
  const beside = await besideFor(disk, layout, link);
  await disk.unlink(beside);
  const make = (): Promise<void> => disk.symlink(linkTarget(version), beside);
  await (isForward ? make() : withSpareInode(disk, layout, make));
  await disk.rename(beside, link);
}

/**
 * `active` leads back to a release; not synced. Where `rollback` is Drover's link to it, that link
 * takes the place of `active`: nothing has to be made, so a disk without inodes or room takes it.
 * @throws DroverError SLOT_SHARED, or of the disk
 */
export async function leadBack(disk: Disk, layout: Layout, version: string): Promise<void> {
  const { active, rollback } = layout;
  await keepLeads(disk, layout, { link: active, mayFollow: true, isForward: false });
  const isReady =
    (await nullIfFailed(disk.readlink(rollback))) === linkTarget(version) &&
    (await leadsOver(disk, layout, rollback)).length === 0;
  if (isReady) await disk.rename(rollback, active);
  else await pointLink(disk, layout, { link: active, version, isForward: false });
}

/**
 * The place where a link is made before it is renamed over `link`: no slot leads through what a
 * power cut left there, and only a link is there or nothing. Anything else was made by a person or
 * another program.
 * @throws DroverError SLOT_SHARED, NOT_A_FILE
 */
export async function besideFor(disk: Disk, layout: Layout, link: string): Promise<string> {
  const [first, second] = [`${link}.new`, `${link}.trial`];
  const stranger = await strangerAt(disk, first);
  if (!stranger && (await leadsOver(disk, layout, first)).length === 0) return first;
  const other = await strangerAt(disk, second);
  if (other) throw stranger ?? other;
  const [lead] = await leadsOver(disk, layout, second);
  if (lead) throw sharedError(second, lead.path);
  return second;
}

/** Refuses a place for our link that something else occupies: that is never removed. */
async function strangerAt(disk: Disk, path: string): Promise<DroverError | null> {
  const kind = await disk.kind(path);
  if (kind === 'absent' || kind === 'link') return null;
  const hint = `move ${path} away: a link is made there`;
  return new DroverError('NOT_A_FILE', `link ${path}: ${inWords(kind)} stands there`, { hint });
}

/** Lists things in the places where the next swap makes its links: they refuse an update. */
export async function besideProblems(disk: Disk, layout: Layout): Promise<DroverError[]> {
  const found: DroverError[] = [];
  for (const slot of SLOTS) {
    const stranger = await strangerAt(disk, `${layout[slot]}.new`);
    if (stranger) found.push(stranger);
  }
  return found;
}

/** A link can be made for a slot: nothing is remembered of one that cannot. @throws DroverError */
export async function tryBeside(
  disk: Disk,
  layout: Layout,
  { slot, version }: { readonly slot: SlotName; readonly version: string },
): Promise<void> {
  const beside = await besideFor(disk, layout, layout[slot]);
  await disk.unlink(beside);
  await disk.symlink(linkTarget(version), beside);
  await disk.unlink(beside);
}

/** No error when it is absent; not synced. @throws DroverError SLOT_SHARED */
export async function removeLink(disk: Disk, layout: Layout, link: string): Promise<void> {
  await keepLeads(disk, layout, { link, mayFollow: false, isForward: false });
  await disk.unlink(link);
}

/** A link that was made beside comes to its place, where nothing is; not synced. */
export async function takeLink(
  disk: Disk,
  layout: Layout,
  { ready, link }: { readonly ready: string; readonly link: string },
): Promise<void> {
  const text = await disk.readlink(ready);
  const stays = text !== null && (await leadsOver(disk, layout, ready)).length > 0;
  await (stays ? disk.symlink(text, link) : disk.rename(ready, link));
}

/**
 * Nothing of another component leads through a slot, which an update leads elsewhere.
 * @throws DroverError SLOT_SHARED
 */
export async function assertUnshared(disk: Disk, layout: Layout): Promise<void> {
  for (const slot of SLOTS) {
    const other = (await leadsOver(disk, layout, layout[slot])).find(({ own }) => own === null);
    if (other) throw sharedError(layout[slot], other.path);
  }
}
