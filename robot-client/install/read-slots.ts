/**
 * Reads where `active` and `rollback` really lead. Links are followed here and not by the kernel:
 * each one on the way has to be known, because nothing on it may be removed. slots.ts decides what
 * they are.
 */

import { resolve } from 'node:path';
import { toProblem } from '../../shared/base/errors.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { isVersion } from '../../shared/base/version.ts';
import { layoutOf, type Layout } from './layout.ts';
import type { Disk } from './disk-port.ts';
import {
  classifySlot,
  type Lead,
  type PathEnd,
  type ReleasesFacts,
  type Slot,
  type SlotFacts,
  type SlotName,
  withLostTogether,
  type Slots,
} from './slots.ts';

/** Never throws for anything on the disk: a slot that cannot be read counts as foreign. */
export async function readSlots(disk: Disk, layout: Layout): Promise<Slots> {
  const { end } = await followPath(disk, layout.releases);
  const path = end.kind === 'there' && end.what === 'folder' ? end.path : null;
  const read = async (name: SlotName): Promise<{ facts: SlotFacts; slot: Slot }> => {
    const facts = await factsOf(disk, layout[name], name);
    const namesOfEnd = await namesOf(disk, path, facts.end);
    const found: ReleasesFacts = { path, namesOfEnd };
    return { facts, slot: classifySlot(facts, found) };
  };
  const [active, rollback] = [await read('active'), await read('rollback')];
  const slots = { active: active.slot, rollback: rollback.slot };
  const isDangling = [active, rollback].some(({ facts }) => facts.end.kind === 'absent');
  if (!isDangling) return slots;
  const root = await followPath(disk, layout.root);
  if (root.end.kind !== 'there') return slots;
  return withLostTogether(slots, {
    root: root.end.path,
    facts: { active: active.facts, rollback: rollback.facts },
  });
}

async function factsOf(disk: Disk, path: string, name: SlotName): Promise<SlotFacts> {
  try {
    const kind = await disk.kind(path);
    const text = kind === 'link' ? await disk.readlink(path) : null;
    return { name, kind, text, ...(await followPath(disk, path)) };
  } catch (thrown) {
    const end: PathEnd = { kind: 'unreadable', why: toProblem(thrown).message };
    return { name, kind: 'unreadable', text: null, end, way: [] };
  }
}

/**
 * Targets of the slots of the other components, of any kind: a person's link may lead from one root
 * into another. Null for a slot that cannot be read: it may lead anywhere.
 */
export async function siblingLeads(disk: Disk, layout: Layout): Promise<(Lead | null)[]> {
  const leads: (Lead | null)[] = [];
  for (const root of layout.siblings) {
    const { active, rollback } = layoutOf(root);
    for (const slot of [active, rollback]) {
      const { end, way } = await followPath(disk, slot);
      const isUnread = end.kind === 'unreadable';
      leads.push(isUnread ? null : { end: end.kind === 'there' ? end : null, way });
    }
  }
  return leads;
}

/**
 * Names in releases/ that lead to the same folder; looked up only when its own place is elsewhere.
 */
async function namesOf(disk: Disk, releases: string | null, end: PathEnd): Promise<string[]> {
  if (releases === null || end.kind !== 'there' || end.what !== 'folder') return [];
  if (end.path.startsWith(`${releases}/`) && isVersion(end.path.slice(releases.length + 1))) {
    return [];
  }
  const names: string[] = [];
  for (const name of (await listOrNone(disk, releases)).slice(0, LIMITS.releaseNamesMax)) {
    const other = await followPath(disk, `${releases}/${name}`);
    if (other.end.kind === 'there' && other.end.id === end.id) names.push(name);
  }
  return names;
}

/** A folder that cannot be listed has no names that count: the slot is not one of ours then. */
async function listOrNone(disk: Disk, folder: string): Promise<readonly string[]> {
  try {
    return await disk.list(folder);
  } catch {
    return [];
  }
}

/**
 * The end of a path, and everything on the way that must not be removed: each link, and each folder
 * that is left by `..`, which the kernel takes after the links.
 */
export async function followPath(
  disk: Disk,
  path: string,
): Promise<{ end: PathEnd; way: readonly string[] }> {
  const way: string[] = [];
  try {
    return { end: await follow(disk, path, way), way };
  } catch (thrown) {
    return { end: { kind: 'unreadable', why: toProblem(thrown).message }, way };
  }
}

/** Node reads each byte that it cannot decode as this: such a path cannot be given back. */
const NOT_UTF8 = '\uFFFD';

async function follow(disk: Disk, path: string, way: string[]): Promise<PathEnd> {
  const isAbsolute = path.startsWith('/');
  let rest = partsOf(isAbsolute ? path : `${resolve('.')}/${path}`);
  let at = '';
  let links = 0;
  for (let next = rest.shift(); next !== undefined; next = rest.shift()) {
    if (next === '..') {
      if (at !== '') way.push(at);
      at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
      continue;
    }
    const here = `${at}/${next}`;
    const kind = await disk.kind(here);
    if (kind === 'absent') return { kind: 'absent', path: here };
    if (kind === 'link') {
      way.push(here);
      links += 1;
      if (links > LIMITS.linksFollowedMax) return { kind: 'loop', path: here };
      const text = (await disk.readlink(here)) ?? '';
      if (text.includes(NOT_UTF8)) {
        const why = `the link ${here} leads to a name that is not UTF-8 (${text})`;
        return { kind: 'unreadable', why, isUnspelled: true };
      }
      rest = [...partsOf(text), ...rest];
      if (text.startsWith('/')) at = '';
      continue;
    }
    if (kind !== 'folder' && rest.length > 0) return { kind: 'absent', path: here };
    at = here;
  }
  const kind = at === '' ? 'folder' : await disk.kind(at);
  const id = await disk.identity(at === '' ? '/' : at);
  if (kind === 'absent' || kind === 'link' || id === null) return { kind: 'absent', path: at };
  return { kind: 'there', what: kind, path: at === '' ? '/' : at, id };
}

const partsOf = (path: string): string[] =>
  path.split('/').filter((part) => part !== '' && part !== '.');
