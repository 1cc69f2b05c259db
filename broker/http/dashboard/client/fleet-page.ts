/** The first page: versions of the fleet, announced rollouts, and a table of robots. */

import type { EngineAnswer, RobotAnswer, RolloutOnPage, UpstreamAnswer } from './answers.ts';
import type { Api } from './api.ts';
import { ago, byId, make, redraw, robotCount, showHead } from './dom.ts';
import { robotRow, runsText } from './robot-row.ts';
import { rolloutCard } from './rollout-card.ts';

/** More rows help nobody, and slow the page down. */
const ROWS_MAX = 500;
const COLOURS = ['#3a7bd5', '#1f9d61', '#c98a1b', '#8e5bd0', '#1aa0a8', '#c2577b', '#7a8794'];
const COLOUR_NONE = '#b8bec6';

let robots: readonly RobotAnswer[] = [];

export async function showFleet(api: Api): Promise<void> {
  const [fleet, announced, carrier, above] = await Promise.all([
    api.get<{ robots: RobotAnswer[] }>('robots'),
    api.get<{ rollouts: RolloutOnPage[] }>('rollouts'),
    api.get<EngineAnswer>('engine'),
    api.get<UpstreamAnswer>('upstream'),
  ]);
  robots = fleet.robots;
  showVersions();
  redraw(byId('rollouts'), announced.rollouts, () =>
    announced.rollouts.length > 0
      ? announced.rollouts.map(rolloutCard)
      : [make('p', { class: 'soft', text: 'No rollout is announced.' })],
  );
  showRobots();
  showLink(carrier, above);
}

function showLink({ engine }: EngineAnswer, { upstream }: UpstreamAnswer): void {
  const online = robots.filter((robot) => robot.online).length;
  const parts = [
    `${online} of ${robots.length} robots online`,
    ...(engine.up ? [] : ['no link to the engine']),
    ...(engine.problem ? [engine.problem.message] : []),
    ...(upstream ? [wayUp(upstream)] : []),
  ];
  showHead(parts);
}

function wayUp(upstream: NonNullable<UpstreamAnswer['upstream']>): string {
  const { states, events } = upstream.backlog;
  const waiting = states + events > 0 ? `, ${states + events} reports wait` : '';
  const missing = upstream.chunks_missing;
  const chunks = missing > 0 ? `, ${missing} chunks to come` : '';
  const why = upstream.problem ? `: ${upstream.problem.message}` : '';
  return `upstream ${upstream.up ? 'reached' : 'lost'} ${ago(upstream.since)}${waiting}${chunks}${why}`;
}

/** Counts robots that do not know what they run. */
const UNKNOWN = 'unknown';

/** How many robots run each version of a component; null for robots without one. */
type Counts = Map<string | null, number>;

/** By component: equal numbers of two components are no equal versions. */
function countVersions(): [component: string, counts: Counts][] {
  const found = new Map<string, Counts>();
  for (const { components } of robots) {
    for (const { name, version, version_doubt: doubt } of components) {
      const counts = found.get(name) ?? new Map<string | null, number>();
      const shown = doubt ? UNKNOWN : version;
      counts.set(shown, (counts.get(shown) ?? 0) + 1);
      found.set(name, counts);
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

function showVersions(): void {
  const silent = robots.filter(({ components }) => components.length === 0).length;
  const all = countVersions();
  const key = [silent, all.map(([name, counts]) => [name, ...counts])];
  redraw(byId('versions'), key, () => [
    ...all.map(([name, counts]) => versionBlock(name, counts)),
    ...(silent > 0
      ? [make('p', { class: 'soft', text: `${robotCount(silent)} without a report` })]
      : []),
  ]);
}

function versionBlock(component: string, counts: Counts): HTMLElement {
  const { compare } = new Intl.Collator('en', { numeric: true });
  const sorted = [...counts].sort(([a], [b]) => compare(b ?? '', a ?? ''));
  const colour = (version: string | null, at: number): string =>
    version && version !== UNKNOWN ? (COLOURS[at % COLOURS.length] ?? COLOUR_NONE) : COLOUR_NONE;
  const pieces = sorted.map(([version, count], at) => {
    const piece = make('i');
    piece.style.flexGrow = String(count);
    piece.style.background = colour(version, at);
    return piece;
  });
  const cards = sorted.map(([version, count], at) => {
    const number = make('b', { text: String(count) });
    const text = version === null ? `${component}: nothing yet` : `${component} ${version}`;
    const card = make('li', { class: 'count' }, number, text);
    card.style.borderLeftColor = colour(version, at);
    return card;
  });
  return make(
    'div',
    {},
    make('div', { class: 'share', 'aria-hidden': 'true' }, ...pieces),
    make('ul', { class: 'counts' }, ...cards),
  );
}

function textOf(robot: RobotAnswer): string {
  const link = robot.online ? 'online' : 'offline';
  const facts = [robot.robot_id, robot.version ?? 'nothing', robot.phase, robot.arch ?? '', link];
  if (robot.twins) facts.push(robot.twins.code);
  for (const part of robot.components) {
    facts.push(part.name, runsText(part), part.phase, part.last_error?.code ?? '');
  }
  return [...facts, ...robot.tags].join(' ').toLowerCase();
}

/** Also called when a person types into the search field. */
export function showRobots(): void {
  const words = byId<HTMLInputElement>('find').value.toLowerCase().split(' ').filter(Boolean);
  const found = robots.filter((robot) => {
    const text = textOf(robot);
    return words.every((word) => text.includes(word));
  });
  const rows = found.slice(0, ROWS_MAX);
  // The words for time change without new data.
  const minute = Math.floor(Date.now() / 10_000);
  redraw(byId('robots'), [minute, rows], () => rows.map(robotRow));
  byId('note').textContent =
    robots.length === 0
      ? 'No robot has reported to this broker yet.'
      : found.length === 0
        ? 'No robot is like that.'
        : found.length > ROWS_MAX
          ? `The first ${ROWS_MAX} of ${found.length} robots.`
          : '';
}
