/**
 * Many robots in one process, for the rollout scenarios: real agents with links, folders and disks
 * of their own, and a simple application on each that works, and crashes as often as its release
 * says. Arguments: first number, how many, broker URL, trust file, folder of their roots.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent } from '../../robot-client/agent.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { parseTrust } from '../../shared/formats/trust.ts';

const [first, count, url = '', trustFile = '', folder = ''] = process.argv.slice(2);
const TASK_MS = 500;
const REPORT_MS = 3_000;
const trust = parseTrust(await readFile(trustFile));

/** The share of tasks in which the active release crashes; see `makeApp` in rollout-scenario.ts. */
async function crashShareOf(root: string): Promise<number | null> {
  try {
    const text = await readFile(join(root, 'active/behaviour.json'), 'utf8');
    return (JSON.parse(text) as { crash_share: number }).crash_share;
  } catch {
    return null; // nothing is installed yet
  }
}

async function work(agent: Agent, root: string): Promise<void> {
  const crashShare = await crashShareOf(root);
  if (crashShare === null) return;
  const crashed = Math.random() < crashShare;
  agent.telemetry.add(crashed ? { crashes: 1, tasks_failed: 1 } : { tasks_completed: 1 });
}

async function startRobot(id: string): Promise<Agent> {
  const root = join(folder, id);
  const agent = new Agent({
    robot: parseRobotId(id),
    roots: [{ component: 'app', root }],
    trust,
    arch: 'x86_64',
    model: 'simulated',
    tags: [],
    hooksFolder: join(folder, 'no-hooks'),
    bytesPerSecondMax: null,
    bootsMax: 3,
    adoptVersion: '0.0.0',
    link: { url },
    disk: realDisk,
    log: makeLog(id, 'silent'),
    reportHeartbeatMs: REPORT_MS,
    reportIntervalMs: REPORT_MS,
  });
  await agent.open();
  setInterval(() => void work(agent, root), TASK_MS);
  return agent;
}

const agents: Agent[] = [];
for (let at = Number(first); at < Number(first) + Number(count); at += 1) {
  agents.push(await startRobot(`robot-${String(at).padStart(3, '0')}`));
}
process.stdout.write('ready\n');
// Ends with the process that started it.
process.stdin.resume().once('end', () => process.exit(0));
process.once('SIGTERM', () => {
  Promise.all(agents.map((agent) => agent.close())).then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
