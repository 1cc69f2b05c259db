/**
 * Identifies each sync of the product by the line that requests it and by its purpose. Each such
 * place gives one mutant: the same robot without that sync.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { repositoryFile } from '../helpers/repository.ts';
import { Robot, type Release } from './robot.ts';
import type { SkipSync } from './explore.ts';
import { ModelDisk } from './model-disk.ts';
import { SYNC_ALL_FROM, type Scenario } from './scenarios.ts';

/** `update/swap.js:104 swapTo: fsync folder <root>`; versions and hashes do not matter. */
export function syncPlace(name: string, path: string): string {
  const frames = new Error().stack?.split('\n') ?? [];
  const frame = frames.find((line) => line.includes('/robot-client/')) ?? '';
  const place = /\/robot-client\/([\w/-]+\.[jt]s:\d+)/.exec(frame)?.[1] ?? 'nobody';
  const asker = /at (?:async )?(?:\w+\.)?#?(\w+) \(/.exec(frame)?.[1];
  const what = path
    .replace(/^\/robot\/app/, '<root>')
    .replace(/releases\/[\d.]+/, 'releases/<version>')
    .replace(/staging\/[0-9a-f]{32}/, 'staging/<payload>');
  return `${place}${asker ? ` ${asker}` : ''}: ${name} ${what}`;
}

export const leavingOut =
  (place: string): SkipSync =>
  (name, path) =>
    syncPlace(name, path) === place;

/** Leaves out one sync alone, counted over those that have something to make durable. */
export class OneSync {
  /** The place of that sync; null when there are fewer. */
  place: string | null = null;
  readonly #nth: number;
  #seen = 0;

  constructor(nth: number) {
    this.#nth = nth;
  }

  readonly skip: SkipSync = (name, path, idle) => {
    if (!idle) this.#seen += 1;
    const isIt = !idle && this.#seen === this.#nth;
    if (isIt) this.place = syncPlace(name, path);
    return isIt;
  };
}

/** `update/swap.js:104` of a place. */
export const lineOf = (place: string): string => /^[^ ]+?:\d+/.exec(place)?.[0] ?? place;

/** Lines of the compiled product that ask for a sync, with the line before each. */
export function syncLines(): Map<string, string> {
  const product = new URL('../../robot-client/', import.meta.url);
  const found = new Map<string, string>();
  for (const path of readdirSync(product, { recursive: true, encoding: 'utf8' })) {
    // The port itself only passes the wish on, and system slots have a walk of their own.
    if (!path.endsWith('.js') || path === 'install/disk.js' || path.startsWith('boot/')) continue;
    const source = repositoryFile(`robot-client/${path.replace(/\.js$/, '.ts')}`);
    if (!existsSync(source)) continue; // tsc leaves behind what was moved
    const lines = readFileSync(new URL(path, product), 'utf8').split('\n');
    for (const [at, line] of lines.entries()) {
      if (!/\.sync(?:Folder|All)?\(/.test(line)) continue;
      found.set(`${path}:${at + 1}`, `${(lines[at - 1] ?? '').trim()} ${line.trim()}`);
    }
  }
  return found;
}

/** Every place in that scenario. */
export async function syncPlacesOf(
  scenario: Scenario,
  release: Release,
  hooksFolder: string,
): Promise<Set<string>> {
  const places = new Set<string>();
  const skipSync: SkipSync = (name, path) => {
    places.add(syncPlace(name, path));
    return false;
  };
  const disk = new ModelDisk(scenario.start, { skipSync });
  disk.syncAllFromFiles = scenario.syncAllFrom ?? SYNC_ALL_FROM;
  const robot = new Robot({ disk, release, hooksFolder });
  try {
    await scenario.run(robot);
  } finally {
    await robot.component.close();
  }
  return places;
}
