/**
 * Only one agent runs on a root, and an agent whose local socket cannot be opened installs nothing:
 * real processes, started as people and units start them.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startDrover, type Child } from '../helpers/child.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { Site } from './site.ts';

const NOWHERE = 'mqtt://127.0.0.1:1';

function agent(t: TestContext, site: Site, ...more: string[]): Child {
  const args = ['--id', 'r2', '--broker', NOWHERE, '--trust', site.path('trust.json')];
  return startDrover(t, 'robot-client', [...args, ...more]);
}

async function refused(child: Child, code: RegExp, exit = 3): Promise<void> {
  await child.exit;
  assert.equal(child.ended?.code, exit, child.describe());
  assert.match(child.stderr, code);
}

const RUNNING = /\(ROBOT_ALREADY_RUNNING\)/;

describe('a second program on the root of an agent', () => {
  it('is refused by whatever way it comes, also while the agent is stopped', async (t) => {
    const site = await Site.open(t);
    const robot = site.robot('r1', NOWHERE, ['--root', `nav=${site.path('nav')}`]);
    await robot.until('is up', () => true);
    const other = ['--socket', site.path('other.sock')];
    const nav = ['--root', `nav=${site.path('nav')}`];
    const ways = [
      agent(t, site, '--root', robot.root, ...other),
      agent(t, site, ...nav),
      startDrover(t, 'robot-client', ['recover', '--root', robot.root, ...other]),
    ];
    for (const way of ways) await refused(way, RUNNING);
    robot.child.kill('SIGSTOP');
    await refused(agent(t, site, '--root', robot.root), RUNNING);
    await refused(startDrover(t, 'robot-client', ['recover', ...nav]), RUNNING);
    robot.child.kill('SIGCONT');
    await robot.until('still runs', () => true);
  });

  it('has exactly one winner at one instant, and the loser leaves no trace', async (t) => {
    const site = await Site.open(t);
    const roots = [site.path('fresh-1'), site.path('fresh-2')];
    for (const root of roots) {
      const pair = [agent(t, site, '--root', root), agent(t, site, '--root', root)];
      const loser = await Promise.race(pair.map((one) => one.exit.then(() => one)));
      await refused(loser, RUNNING);
      const winner = pair.find((one) => one !== loser) as Child;
      assert.equal(winner.ended, null, winner.describe());
      await winner.stop();
    }
  });
});

describe('an agent whose local socket cannot be opened', () => {
  it('ends with its exit code before anything is touched', async (t) => {
    const site = await Site.open(t);
    const root = site.path('r2');
    const unusable = /\(SOCKET_UNUSABLE\)/;
    await refused(agent(t, site, '--root', root, '--socket', '/nonexistent/a.sock'), unusable, 2);
    const long = join(await tempFolder(t), 'd'.repeat(100));
    await refused(agent(t, site, '--root', long), unusable, 2);
    assert.equal(existsSync(long), false);
    await mkdir(join(root, 'state'), { recursive: true });
    await writeFile(join(root, 'state/agent.sock'), 'of another program');
    await refused(agent(t, site, '--root', root), unusable, 2);
    assert.equal(existsSync(join(root, 'state/machine.json')), false);
    assert.equal(existsSync(join(root, 'releases')), false);
  });
});
