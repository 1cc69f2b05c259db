/**
 * The link `active` is removed or replaced under a real agent: at rest, while an update waits, and
 * on probation. The agent reports the code, removes nothing, and goes on once the link is repaired.
 */

import assert from 'node:assert/strict';
import { mkdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { Site, type ComponentStatus, type Robot } from '../e2e/site.ts';

interface Harm {
  readonly code: string;
  /** @param active the path of the link, which is gone */
  readonly replace: (active: string) => Promise<void>;
}

const HARMS: readonly Harm[] = [
  { code: 'RELEASE_LOST', replace: () => Promise.resolve() },
  {
    code: 'SLOT_FOLDER',
    replace: async (active) => {
      await mkdir(active);
      await writeFile(join(active, 'VERSION'), 'of a technician');
    },
  },
  { code: 'SLOT_DANGLING', replace: (active) => symlink('nowhere', active) },
  {
    code: 'SLOT_OUTSIDE',
    replace: async (active) => {
      await mkdir(join(active, '../../outside'), { recursive: true });
      await symlink('../outside', active);
    },
  },
];

const idOf = (version: string): string => `to-${version.replaceAll('.', '-')}`;

/** A robot for each harm, on 1.1.0 with 1.0.0 to go back to. */
async function withRobots(t: TestContext) {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t);
  const robots = HARMS.map((harm, nth) => ({ harm, robot: site.robot(`r${nth}`, broker.url) }));
  const publish = async (version: string, ...more: string[]): Promise<void> =>
    site.publish(broker.url, await site.bundle(version), '--id', idOf(version), ...more);
  for (const version of ['1.0.0', '1.1.0']) {
    await publish(version);
    await Promise.all(robots.map(({ robot }) => robot.runs(version, 60_000)));
  }
  /** The robot itself and the fleet say the code, at once when a person asks it to look again. */
  const tells = async (robot: Robot, code: string): Promise<void> => {
    await lookAgain(robot);
    await robot.until(`tells ${code}`, (s) => s.last_error?.code === code);
    await waitUntil(`the fleet to hear ${code} of ${robot.id}`, async () => {
      const answer = await fetch(`${broker.httpUrl}/robots/${robot.id}`);
      return (await answer.text()).includes(code);
    });
  };
  return { robots, publish, tells };
}

async function hurt({ harm, robot }: { harm: Harm; robot: Robot }): Promise<void> {
  const active = join(robot.root, 'active');
  await rm(active);
  await harm.replace(active);
}

/** `drover-robot retry`: the agent checks its slots now, and not at the next heartbeat. */
const lookAgain = (robot: Robot): Promise<unknown> => robot.call('/retry', {});

/** As a person would: what stands there is moved away, and the link made again. */
async function mend(robot: Robot, version: string): Promise<void> {
  const active = join(robot.root, 'active');
  await rm(active, { recursive: true, force: true });
  await symlink(`releases/${version}`, active);
}

async function hasAll(robot: Robot, ...versions: string[]): Promise<void> {
  for (const version of versions) {
    const file = join(robot.root, 'releases', version, 'VERSION');
    assert.equal(await readFile(file, 'utf8'), version, 'nothing is removed');
  }
}

describe('active is removed or replaced under an agent', () => {
  it('at rest: it is reported, and updates go on once a person or recover repaired it', async (t) => {
    const { robots, publish, tells } = await withRobots(t);
    await Promise.all(robots.map(hurt));
    await Promise.all(robots.map(({ harm, robot }) => tells(robot, harm.code)));
    await Promise.all(robots.map(({ robot }) => hasAll(robot, '1.0.0', '1.1.0')));
    const [removed, ...replaced] = robots;
    assert.ok(removed);
    const { robot } = removed;
    await robot.kill();
    const recover = startDrover(t, 'robot-client', ['recover', '--root', robot.root, '--json']);
    assert.equal((await recover.exit).code, 0, recover.describe());
    // The way back; or what is announced, if the agent has taken that again by itself before.
    const led = await readlink(join(robot.root, 'active'));
    assert.ok(['releases/1.0.0', 'releases/1.1.0'].includes(led), led);
    robot.start();
    await publish('1.2.0');
    for (const { harm, robot: other } of replaced) {
      await tells(other, harm.code);
      await hasAll(other, '1.0.0', '1.1.0');
      await mend(other, '1.1.0');
      await lookAgain(other);
    }
    await Promise.all(robots.map((one) => one.robot.runs('1.2.0', 60_000)));
  });

  it('while an update waits: nothing is swapped over what Drover did not make', async (t) => {
    const { robots, publish, tells } = await withRobots(t);
    await Promise.all(robots.map(({ robot }) => robot.hook('ready', 'exit 75')));
    await publish('1.2.0');
    const isWaiting = Promise.all(
      robots.map(({ robot }) => robot.until('waits', (s) => s.phase === 'waiting', 60_000)),
    );
    await isWaiting;
    await Promise.all(robots.map(hurt));
    await Promise.all(robots.map(({ harm, robot }) => tells(robot, harm.code)));
    await Promise.all(robots.map(({ robot }) => robot.hook('ready', 'exit 0')));
    const [removed, ...replaced] = robots;
    await removed?.robot.runs('1.2.0', 60_000);
    for (const { harm, robot } of replaced) {
      await robot.until('gives it up for now', (s) => s.phase === 'idle', 60_000);
      await tells(robot, harm.code);
      await hasAll(robot, '1.0.0', '1.1.0');
      await mend(robot, '1.1.0');
      await lookAgain(robot);
    }
    await Promise.all(replaced.map(({ robot }) => robot.runs('1.2.0', 60_000)));
  });

  it('on probation, of a version that fails: what is there stays, and the next version comes', async (t) => {
    const { robots, publish, tells } = await withRobots(t);
    const health = '[ "$DROVER_VERSION" != 1.2.0 ] || [ -e "$DROVER_ROOT/ok" ] || exit 1';
    const failing =
      'if [ "$DROVER_VERSION" = 1.2.0 ] && [ -e "$DROVER_ROOT/bad" ]; then exit 70; fi';
    const script = `${failing}\n${health}`;
    await Promise.all(robots.map(({ robot }) => robot.hook('health', script)));
    await publish('1.2.0', '--health-timeout', '2m');
    await Promise.all(
      robots.map(({ robot }) => robot.until('probation', (s) => s.phase === 'probation', 60_000)),
    );
    await Promise.all(robots.map(hurt));
    await Promise.all(robots.map(({ harm, robot }) => tells(robot, harm.code)));
    await Promise.all(robots.map(({ robot }) => writeFile(join(robot.root, 'bad'), '')));
    const [removed, ...replaced] = robots;
    await removed?.robot.until(
      'is back',
      (s) => s.version === '1.1.0' && s.phase === 'idle',
      60_000,
    );
    for (const { harm, robot } of replaced) {
      const hasFailed = (s: ComponentStatus): boolean =>
        s.last_update?.version === '1.2.0' && s.last_update.outcome === 'rolled_back';
      await robot.until('gave it up', hasFailed, 60_000);
      await tells(robot, harm.code);
      await hasAll(robot, '1.1.0');
      await mend(robot, '1.1.0');
    }
    await publish('1.3.0', '--supersede', idOf('1.2.0'));
    await Promise.all(robots.map(({ robot }) => robot.runs('1.3.0', 60_000)));
  });
});
