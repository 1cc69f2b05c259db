/**
 * Selects robots for one page of the HTTP API: those that fit the filters, by id, after the last
 * one of the page before. Sans-I/O.
 */

import { DroverError } from '../../shared/base/errors.ts';
import type { RobotId } from '../../shared/base/ids.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import type { RobotRecord } from './fleet.ts';

/** Query of `GET /robots`, as text. */
export type PageQuery = Partial<
  Record<'limit' | 'after' | 'tag' | 'component' | 'version' | 'phase' | 'online', string>
>;

export interface RobotPage {
  readonly robots: readonly RobotRecord[];
  /** Give it as `after` for the page that follows; null when this is the last. */
  readonly next: RobotId | null;
}

/**
 * @param source ids in order; only as many records are read as the page needs
 * @throws DroverError USAGE for a parameter that cannot be read
 */
export function pageOf(
  source: { ids(): readonly RobotId[]; get(robot: string): RobotRecord | undefined },
  query: PageQuery,
): RobotPage {
  const limit = readLimit(query.limit);
  const ids = source.ids();
  const robots: RobotRecord[] = [];
  const fits = filterOf(query);
  for (let at = placeAfter(ids, query.after); at < ids.length; at += 1) {
    const record = source.get(ids[at] ?? '');
    if (!record || !fits(record)) continue;
    if (robots.length === limit) return { robots, next: robots.at(-1)?.robot ?? null };
    robots.push(record);
  }
  return { robots, next: null };
}

function filterOf({ tag, component, version, phase, online }: PageQuery) {
  if (online !== undefined && online !== 'true' && online !== 'false') {
    throw new DroverError(
      'USAGE',
      `list robots: online is no yes or no (got ${shown(online)}, want true or false)`,
    );
  }
  const isAny = component === undefined && version === undefined && phase === undefined;
  return ({ online: isOnline, state }: RobotRecord): boolean =>
    (online === undefined || String(isOnline) === online) &&
    (tag === undefined || state?.tags.includes(tag) === true) &&
    (isAny ||
      state?.components.some(
        (one) =>
          (component === undefined || one.name === component) &&
          (version === undefined || one.version === version) &&
          (phase === undefined || one.phase === phase),
      ) === true);
}

/** All of them where no limit is given, as 0.1 answered. */
function readLimit(text: string | undefined): number {
  if (text === undefined) return Infinity;
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1) return Math.min(limit, LIMITS.robotsPageMax);
  throw new DroverError('USAGE', `list robots: limit is no number of robots (got ${shown(text)})`);
}

const shown = (text: string): string => text.slice(0, 20);

/** Index of the first id after this one, which need not be there any more. */
export function placeAfter(ids: readonly RobotId[], after: string | undefined): number {
  let [low, high] = [0, after === undefined ? 0 : ids.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] ?? '') <= (after ?? '')) low = middle + 1;
    else high = middle;
  }
  return low;
}
