/** The robots of a rollout: named, linked, each with its standing and a reason. */

import type { RolloutRobot, RolloutRobotsAnswer } from './answers.ts';
import { make, robotLink, spaced } from './dom.ts';
import { standingMark } from './wave-bars.ts';

export const FILTERS: readonly (readonly [state: string, label: string])[] = [
  ['awaited,failed,vanished', 'those it waits for, and those that failed'],
  ['failed,vanished', 'failed'],
  ['updating', 'updating'],
  ['waiting', 'waiting'],
  ['done', 'done'],
  ['went_back', 'went back'],
  ['excluded', 'take no part'],
  ['', 'all'],
];

function row(robot: RolloutRobot): HTMLElement {
  const standing = robot.awaited ? `${spaced(robot.state)}, awaited` : spaced(robot.state);
  const wave = robot.wave === null ? '' : robot.wave === 0 ? 'canary' : `wave ${robot.wave}`;
  return make(
    'tr',
    {},
    make('td', {}, robotLink(robot.robot_id)),
    make('td', { text: wave }),
    make('td', {}, standingMark(robot.state), standing),
    make('td', {}, robot.reason, make('div', { class: 'soft', text: robot.code })),
  );
}

export function memberTable({ robots, total }: RolloutRobotsAnswer): HTMLElement[] {
  if (robots.length === 0) return [make('p', { class: 'soft', text: 'No robot is like that.' })];
  const titles = ['robot', 'wave', 'state', 'reason'];
  const head = titles.map((text) => make('th', { text, scope: 'col' }));
  const table = make(
    'table',
    { class: 'members' },
    make('thead', {}, make('tr', {}, ...head)),
    make('tbody', {}, ...robots.map(row)),
  );
  const count = robots.length < total ? `${robots.length} of ${total} robots` : '';
  return [table, ...(count ? [make('p', { class: 'soft', text: count })] : [])];
}
