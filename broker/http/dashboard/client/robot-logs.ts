/**
 * Logs of failed updates on the page of a robot: a button for each component that keeps one. The
 * robot is asked only when a person presses it. A log may hold anything, so it is set as text.
 */

import type { ComponentAnswer, LogsAnswer, RobotAnswer } from './answers.ts';
import { messageOf, type Api } from './api.ts';
import { byId, make, redraw } from './dom.ts';

/** Time for the log to come, and between two checks, in ms. */
const WAIT_MS = 20_000;
const CHECK_MS = 500;

export function showLogButtons(api: Api, robot: RobotAnswer): void {
  const kept = robot.components.filter((one) => one.failure_log);
  const asked = kept.map(({ name, failure_log: log }) => [robot.robot_id, name, log?.at]);
  redraw(byId('robot-logs'), asked, () =>
    kept.length === 0
      ? []
      : [
          make('h3', { text: 'Logs of failed updates' }),
          ...kept.map((one) => logButton(api, robot.robot_id, one)),
        ],
  );
}

function logButton(api: Api, robot: string, component: ComponentAnswer): HTMLElement {
  const { name, failure_log: log } = component;
  const text = `Show the log of ${name} ${log?.version ?? ''} (${log?.code ?? 'unknown'})`;
  const button = make('button', { type: 'button', text });
  button.addEventListener('click', () => void open(api, robot, { component, button }));
  return make('p', {}, button);
}

async function open(
  api: Api,
  robot: string,
  { component, button }: { component: ComponentAnswer; button: HTMLButtonElement },
): Promise<void> {
  const out = byId('robot-log');
  button.disabled = true;
  out.textContent = 'The robot is asked for its log …';
  try {
    out.textContent = await readLog(api, robot, component);
  } catch (error) {
    out.textContent = messageOf(error);
  } finally {
    button.disabled = false;
  }
}

async function readLog(api: Api, robot: string, component: ComponentAnswer): Promise<string> {
  const path = `robots/${encodeURIComponent(robot)}/logs`;
  const name = encodeURIComponent(component.name);
  const isHere = async (): Promise<boolean> =>
    (await api.get<LogsAnswer>(path)).logs.some(
      (one) => one.component === component.name && one.failed_at === component.failure_log?.at,
    );
  if (!(await isHere())) {
    await api.post(`${path}?component=${name}`, {});
    const untilMs = performance.now() + WAIT_MS;
    while (!(await isHere()) && performance.now() < untilMs)
      await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
  }
  return await (await api.open(`${path}/${name}`)).text();
}
