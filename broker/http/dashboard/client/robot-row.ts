/** One robot as a row of the fleet's table, and the same cells on its own page. */

import type { ComponentAnswer, ProblemAnswer, RobotAnswer } from './answers.ts';
import { ago, make, robotLink, spaced } from './dom.ts';

const CALM: readonly string[] = ['idle', 'unknown'];
const BAD: readonly string[] = ['stuck', 'rolling_back'];

export function phaseTag(phase: string): HTMLElement {
  const kind = BAD.includes(phase) ? ' bad' : CALM.includes(phase) ? '' : ' busy';
  return make('span', { class: `tag${kind}`, text: spaced(phase) });
}

function phaseCell(robot: RobotAnswer): HTMLElement {
  const cell = make('td', {}, phaseTag(robot.phase));
  if (robot.target_version && robot.phase !== 'idle') cell.append(` to ${robot.target_version}`);
  const { transfer } = robot;
  if (robot.phase === 'downloading' && transfer && transfer.bytes_total > 0) {
    const percent = Math.min(100, (100 * transfer.bytes_done) / transfer.bytes_total);
    const fill = make('i');
    fill.style.width = `${percent}%`;
    cell.append(` ${Math.floor(percent)} %`, make('div', { class: 'bar' }, fill));
  }
  if (robot.waiting_for) cell.append(make('div', { class: 'soft', text: robot.waiting_for }));
  for (const part of robot.components) {
    if (part.name === robot.name || part.phase === 'idle') continue;
    cell.append(make('div', { class: 'soft', text: `${part.name} ${spaced(part.phase)}` }));
  }
  return cell;
}

/** Empty where `active` alone leads to the release. */
const applied = ({ strategy }: Pick<ComponentAnswer, 'strategy'>): string =>
  strategy && strategy !== 'atomic_swap' ? ` (${strategy})` : '';

/** `1.4.0`, `nothing`, or `unknown (active names 1.4.0)`. */
export function runsText(part: Pick<ComponentAnswer, 'version' | 'version_doubt'>): string {
  const version = part.version ?? 'nothing';
  return part.version_doubt ? `unknown (active names ${version})` : version;
}

function versionCell(robot: RobotAnswer): HTMLElement {
  const name = robot.name === null ? '' : `${robot.name} `;
  const cell = make('td', { text: `${name}${runsText(robot)}${applied(robot)}` });
  for (const part of robot.components) {
    if (part.name === robot.name) continue;
    const text = `${part.name} ${runsText(part)}${applied(part)}`;
    cell.append(make('div', { class: 'soft', text }));
  }
  return cell;
}

export function problemLines(problem: ProblemAnswer, where = ''): HTMLElement[] {
  if (problem.past) {
    const of = problem.version ? ` of ${problem.version}` : '';
    const when = problem.at ? `, ${ago(problem.at)}` : '';
    const text = `${where}earlier: ${problem.code}${of}${when}`;
    return [make('div', { class: 'soft', text })];
  }
  return [
    make('div', { class: 'why', text: `${where}${problem.message} (${problem.code})` }),
    make('div', { class: 'soft', text: problem.hint }),
  ];
}

function problemCell(robot: RobotAnswer): HTMLElement {
  const cell = make('td');
  if (robot.twins) cell.append(...problemLines(robot.twins));
  for (const part of robot.components) {
    if (!part.last_error) continue;
    const where = robot.components.length > 1 ? `${part.name}: ` : '';
    cell.append(...problemLines(part.last_error, where));
  }
  return cell;
}

function nameCell(robot: RobotAnswer): HTMLElement {
  const dot = make('span', {
    class: robot.online ? 'dot on' : 'dot',
    role: 'img',
    'aria-label': robot.online ? 'online' : 'offline',
  });
  const link = robotLink(robot.robot_id);
  link.className = 'name';
  const cell = make('td', {}, dot, link);
  const about = [robot.model, robot.arch, ...robot.tags].filter(Boolean).join(' \u00b7 ');
  if (about) cell.append(make('div', { class: 'soft', text: about }));
  if (!robot.online) {
    cell.append(make('div', { class: 'soft', text: `last heard ${ago(robot.last_seen)}` }));
  }
  return cell;
}

export const robotRow = (robot: RobotAnswer): HTMLElement =>
  make('tr', {}, nameCell(robot), versionCell(robot), phaseCell(robot), problemCell(robot));
