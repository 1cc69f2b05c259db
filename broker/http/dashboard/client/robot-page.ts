/** The page of one robot: its components, its problems with hints, and its last events. */

import type { ComponentAnswer, EventAnswer, RobotAnswer } from './answers.ts';
import type { Api } from './api.ts';
import { ago, byId, make, redraw, rolloutLink, showHead, timeMark } from './dom.ts';
import { showLogButtons } from './robot-logs.ts';
import { phaseTag, problemLines, runsText } from './robot-row.ts';

let shown = '';

export async function showRobotPage(api: Api, id: string): Promise<void> {
  if (id !== shown) {
    shown = id;
    byId('robot-title').textContent = id; // nothing of another robot stands under this name
    for (const part of ['robot-facts', 'robot-events']) redraw(byId(part), id, () => []);
    byId('robot-log').textContent = '';
  }
  const robot = await api.get<RobotAnswer>(`robots/${encodeURIComponent(id)}`);
  byId('robot-title').textContent = robot.robot_id;
  showHead([robot.online ? 'online' : 'offline']);
  redraw(byId('robot-facts'), robot, () => [
    make('p', { text: presence(robot) }),
    make('p', { class: 'soft', text: about(robot) }),
    ...[robot.twins, robot.clock, robot.via_problem].flatMap((one) =>
      one ? problemLines(one) : [],
    ),
    make('h3', { text: 'Components' }),
    ...robot.components.map(componentBlock),
  ]);
  const { events = [] } = robot;
  redraw(byId('robot-events'), events, () => [eventList(events)]);
  showLogButtons(api, robot);
}

function presence({ online, via, last_seen: seen }: RobotAnswer): string {
  const where = via ? `, behind relay ${via}` : '';
  return online ? `online${where}` : `offline${where}, last heard ${ago(seen)}`;
}

const about = ({ model, arch, agent, tags }: RobotAnswer): string =>
  [model, arch, agent ? `agent ${agent}` : null, ...tags].filter(Boolean).join(' \u00b7 ');

function componentBlock(part: ComponentAnswer): HTMLElement {
  const head = make('p', { class: 'tags' });
  head.append(make('b', { text: `${part.name} ${runsText(part)}` }), phaseTag(part.phase));
  if (part.target_version) head.append(make('span', { text: `to ${part.target_version}` }));
  if (part.rollout) head.append(rolloutLink(part.rollout));
  const block = make('div', { class: 'rollout' }, head);
  const before = part.previous_version;
  if (before) block.append(make('p', { class: 'soft', text: `before: ${before}` }));
  if (part.waiting_for) block.append(make('p', { text: part.waiting_for }));
  if (part.last_error) block.append(...problemLines(part.last_error));
  return block;
}

function eventList(events: readonly EventAnswer[]): HTMLElement {
  if (events.length === 0) {
    return make('p', { class: 'soft', text: 'None since the broker started.' });
  }
  const lines = events.toReversed().map((event) => {
    const line = make('li', {}, timeMark(event.at), make('span', { text: event.text }));
    if (event.problem) line.append(...problemLines(event.problem));
    return line;
  });
  return make('ol', { class: 'events' }, ...lines);
}
