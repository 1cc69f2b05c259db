/** The first page: versions of the fleet, announced rollouts, and a table of robots. */

import type { EngineAnswer, RobotAnswer, RolloutOnPage, UpstreamAnswer } from './answers.ts';
import type { Api } from './api.ts';
import { ago, byId, make, redraw } from './dom.ts';
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
    new Date().toLocaleTimeString(),
    ...(engine.up ? [] : ['no link to the engine']),
    ...(engine.problem ? [engine.problem.message] : []),
    ...(upstream ? [wayUp(upstream)] : []),
  ];
  byId('link').textContent = parts.join(' \u00b7 ');
}

function wayUp(upstream: NonNullable<UpstreamAnswer['upstream']>): string {
  const { states, events } = upstream.backlog;
  const waiting = states + events > 0 ? `, ${states + events} reports wait` : '';
  const missing = upstream.chunks_missing;
  const chunks = missing > 0 ? `, ${missing} chunks to come` : '';
  const why = upstream.problem ? `: ${upstream.problem.message}` : '';
  return `upstream ${upstream.up ? 'reached' : 'lost'} ${ago(upstream.since)}${waiting}${chunks}${why}`;
}

function showVersions(): void {
  const counts = new Map<string | null, number>();
  for (const { version, version_doubt: doubt } of robots) {
    const shown = doubt ? 'unknown' : version;
    counts.set(shown, (counts.get(shown) ?? 0) + 1);
  }
  const { compare } = new Intl.Collator('en', { numeric: true });
  const sorted = [...counts].sort(([a], [b]) => compare(b ?? '', a ?? ''));
  const colour = (version: string | null, at: number): string =>
    version && version !== 'unknown' ? (COLOURS[at % COLOURS.length] ?? COLOUR_NONE) : COLOUR_NONE;
  redraw(byId('share'), sorted, () =>
    sorted.map(([version, count], at) => {
      const piece = make('i');
      piece.style.flexGrow = String(count);
      piece.style.background = colour(version, at);
      return piece;
    }),
  );
  redraw(byId('counts'), sorted, () =>
    sorted.map(([version, count], at) => {
      const number = make('b', { text: String(count) });
      const card = make('li', { class: 'count' }, number, version ?? 'nothing yet');
      card.style.borderLeftColor = colour(version, at);
      return card;
    }),
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
