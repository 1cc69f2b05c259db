/**
 * The answer of `GET /robots/versions`: the version of each robot, as in 0.1, and how many robots
 * run each version. The counts are kept by reports. The list is kept as text, in parts of some
 * robots: only the part of a robot that changed is written again, and the event loop runs after
 * each, because writing 100,000 rows at once would stop the broker.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { versionShown } from '../../shared/rules/running-version.ts';
import type { ComponentCount } from './fleet-counts.ts';
import { pageOf, placeAfter, type PageQuery } from './fleet-page.ts';
import { mainComponent, type RobotRecord } from './fleet.ts';

interface WatchedFleet {
  /** The same array while no robot came or went. */
  ids(): readonly RobotId[];
  get(robot: string): RobotRecord | undefined;
  watch(onChange: (robot: RobotId) => void): () => void;
  readonly counts: { components(): readonly ComponentCount[] };
}

type VersionCount = Omit<ComponentCount, 'phase'>;

export class FleetVersions {
  readonly #fleet: WatchedFleet;
  readonly #versions = new Map<RobotId, string | null>();
  /** Robots that run another version than their part says. */
  readonly #changed = new Set<RobotId>();
  #ids: readonly RobotId[] = [];
  #parts: (string | null)[] = [];
  readonly #unwatch: () => void;

  constructor(fleet: WatchedFleet) {
    this.#fleet = fleet;
    for (const robot of fleet.ids()) this.#note(robot);
    this.#unwatch = fleet.watch((robot) => this.#note(robot));
  }

  close(): void {
    this.#unwatch();
  }

  /**
   * @param query `limit` and `after` make pages of the list, as of `GET /robots`
   * @returns JSON
   * @throws DroverError USAGE
   */
  async show({ limit, after }: PageQuery): Promise<string> {
    const counts = JSON.stringify(countVersions(this.#fleet.counts.components()));
    if (limit === undefined && after === undefined) {
      return `{"versions":[${await this.#list()}],"counts":${counts}}`;
    }
    const { robots, next } = pageOf(this.#fleet, {
      ...(limit !== undefined && { limit }),
      ...(after !== undefined && { after }),
    });
    const rows = robots.map(({ robot }) => this.#row(robot)).join(',');
    return `{"versions":[${rows}],"counts":${counts},"next":${JSON.stringify(next)}}`;
  }

  #note(robot: RobotId): void {
    const record = this.#fleet.get(robot);
    if (!record) return void this.#versions.delete(robot);
    const main = mainComponent(record);
    const version = main ? versionShown(main) : null;
    if (this.#versions.get(robot) === version) return;
    this.#versions.set(robot, version);
    this.#changed.add(robot);
  }

  async #list(): Promise<string> {
    this.#dropChanged();
    const [ids, parts] = [this.#ids, this.#parts];
    for (const [at, known] of parts.entries()) {
      if (known !== null) continue;
      const first = at * LIMITS.indexSliceRobots;
      const robots = ids.slice(first, first + LIMITS.indexSliceRobots);
      parts[at] = robots.map((robot) => this.#row(robot)).join(',');
      await nextTurn();
    }
    return parts.join(',');
  }

  /** Empties each part in which a robot runs another version; all when a robot came or went. */
  #dropChanged(): void {
    const ids = this.#fleet.ids();
    if (ids !== this.#ids) {
      this.#ids = ids;
      const parts = Math.ceil(ids.length / LIMITS.indexSliceRobots);
      this.#parts = Array.from({ length: parts }, () => null);
    } else if (this.#changed.size > 0) {
      // Another array: a list that is being written goes on with the parts that it began with.
      this.#parts = [...this.#parts];
      for (const robot of this.#changed) {
        const part = Math.floor((placeAfter(ids, robot) - 1) / LIMITS.indexSliceRobots);
        this.#parts[part] = null;
      }
    }
    this.#changed.clear();
  }

  /** Ids and versions are of letters that need no escape. */
  #row(robot: RobotId): string {
    const version = this.#versions.get(robot) ?? null;
    return `{"robot_id":"${robot}","version":${version === null ? 'null' : `"${version}"`}}`;
  }
}

/** Without the robots that have reported nothing yet. */
function countVersions(components: readonly ComponentCount[]): VersionCount[] {
  const found = new Map<string, VersionCount>();
  for (const { component, version, robots, online } of components) {
    if (component === null) continue;
    const key = `${component} ${version ?? ''}`;
    const known = found.get(key) ?? { component, version, robots: 0, online: 0 };
    const sum = { robots: known.robots + robots, online: known.online + online };
    found.set(key, { ...known, ...sum });
  }
  return [...found.values()];
}
