/**
 * The release to go back to lost a file, with real agents: a rollback and a recall wait until it is
 * repaired.
 */

import assert from 'node:assert/strict';
import { readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { halfWay } from './recall.ts';
import { Site, type ComponentStatus, type Robot } from './site.ts';

const hasGoneBack = (s: ComponentStatus): boolean =>
  s.version === '1.0.0' && s.phase === 'idle' && s.blocked.includes('1.1.0');
const activeOf = (robot: Robot): Promise<string> =>
  readFile(join(robot.root, 'active/VERSION'), 'utf8');

describe('a version on probation', () => {
  it('is not confirmed, nor installed again, when a person took it back by hand', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await robot.hook('health', 'grep -q 1.1.0 "$DROVER_ACTIVE_DIR/VERSION" && exit 75; exit 0');
    await site.publish(broker.url, await site.bundle('1.1.0'), '--id', 'one');
    await robot.until('is on probation', (s) => s.phase === 'probation', 60_000);
    const active = join(robot.root, 'active');
    await symlink('rollback', `${active}.by-hand`);
    await rename(`${active}.by-hand`, active);
    const over = await robot.until('gave up', (s) => s.last_update?.rollout === 'one', 60_000);
    const { outcome, code } = over.last_update ?? { outcome: null, code: null };
    assert.deepEqual([outcome, code], ['rolled_back', 'ACTIVE_CHANGED']);
    assert.equal(over.version, '1.0.0');
    assert.match(
      await readFile(join(robot.root, 'state/machine.json'), 'utf8'),
      /"highest":"1.0.0"/,
    );
    assert.equal(await activeOf(robot), '1.0.0');
    const isRefused = (s: ComponentStatus): boolean => s.last_error?.code === 'ACTIVE_CHANGED';
    await robot.until('waits for a person', isRefused, 30_000);
    await robot.hook('health', 'exit 0');
    await robot.call('/retry', {});
    await robot.runs('1.1.0', 60_000);
  });
});

/** Replaces the link by one rename, as a person at the robot would. */
async function leadBack(robot: Robot, target: string): Promise<void> {
  const active = join(robot.root, 'active');
  await symlink(target, `${active}.by-hand`);
  await rename(`${active}.by-hand`, active);
}

describe('a version that was confirmed', () => {
  it('is not installed again by itself when a person led active back, and is reported', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robots = ['r1', 'r2'].map((id) => site.robot(id, broker.url));
    for (const [version, id] of [
      ['1.0.0', 'zero'],
      ['1.1.0', 'one'],
    ] as const) {
      await site.publish(broker.url, await site.bundle(version), '--id', id);
      for (const robot of robots) await robot.runs(version);
    }
    const [running, stopped] = robots as [Robot, Robot];
    await stopped.kill();
    for (const robot of robots) await leadBack(robot, 'releases/1.0.0');
    stopped.start();
    const isTold = ({ version, last_error }: ComponentStatus): boolean =>
      version === '1.0.0' && last_error?.code === 'ACTIVE_CHANGED';
    await running.call('/retry', {}); // the agent checks the root: no retry is due yet
    for (const robot of robots) await robot.until('tells that it was led back', isTold, 60_000);
    assert.equal(await activeOf(running), '1.0.0');
    await running.call('/retry', {});
    await running.runs('1.1.0', 60_000);
    assert.equal(await activeOf(stopped), '1.0.0');
    await site.publish(broker.url, await site.bundle('1.2.0'), '--id', 'two');
    for (const robot of robots) await robot.runs('1.2.0', 60_000);
  });
});

describe('a recall without a release to go back to', () => {
  it('is reported for as long as it lasts, and ends with the next version', async (t) => {
    const { stage, robots } = await halfWay(t);
    const [robot] = robots;
    for (const name of ['rollback', 'releases/1.0.0'])
      await rm(join(robot.root, name), { recursive: true });
    await stage.progress({ status: 'rolling_back', recall: true, reasons: ['crash rate'] });
    const isTold = ({ last_error }: ComponentStatus): boolean =>
      last_error?.code === 'RECALL_IMPOSSIBLE';
    await robot.until('cannot go back', isTold, 60_000);
    await robot.call('/retry', {}); // the agent checks everything again
    assert.ok(isTold(await robot.status()));
    assert.equal((await robot.status()).version, '1.1.0');
    await robot.killAndRestart();
    await robot.until('cannot go back still', isTold, 60_000);
    const next = await stage.site.bundle('1.2.0');
    await stage.site.publish(stage.broker.url, next, '--anyway', '--alongside');
    await robot.runs('1.2.0', 60_000);
    assert.notEqual((await robot.status()).last_error?.code, 'RECALL_IMPOSSIBLE');
  });
});

describe('a way back that lost a file', () => {
  const isStuck = (s: ComponentStatus): boolean => s.phase === 'stuck';
  const file = (robot: Robot): string => join(robot.root, 'releases/1.0.0/bin/app');

  it('keeps a robot on the version that is recalled, which runs well, until it is repaired', async (t) => {
    const { stage, robots } = await halfWay(t);
    const [robot] = robots;
    const bytes = await readFile(file(robot));
    await rm(file(robot));
    await stage.progress({ status: 'rolling_back', recall: true, reasons: ['crash rate'] });
    const stuck = await robot.until('is stuck', isStuck, 90_000);
    assert.deepEqual([stuck.version, stuck.last_error?.code], ['1.1.0', 'RELEASE_DAMAGED']);
    await waitUntil('the fleet to hear of it', async () => {
      const answer = await fetch(`${stage.broker.httpUrl}/robots/${robot.id}`);
      return (await answer.text()).includes('RELEASE_DAMAGED');
    });
    await robot.kill();
    const hooks = ['--hooks', robot.hooks];
    const recover = startDrover(t, 'robot-client', ['recover', '--root', robot.root, ...hooks]);
    await recover.exit;
    assert.equal(await activeOf(robot), '1.1.0', recover.describe());
    robot.start();
    await robot.until('is stuck still', isStuck);
    assert.equal(await activeOf(robot), '1.1.0');
    await writeFile(file(robot), bytes, { mode: 0o755 });
    await robot.call('/retry', {});
    const back = await robot.until('is back', hasGoneBack, 90_000);
    assert.equal(back.last_update?.outcome, 'recalled');
  });

  it('is no way back while rollback leads to a whole release: the next version keeps that', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    for (const version of ['1.0.0', '1.1.0']) {
      await site.publish(broker.url, await site.bundle(version));
      await robot.runs(version);
    }
    await rm(join(robot.root, 'releases/1.1.0/bin/app'));
    await robot.hook('health', 'if [ "$DROVER_VERSION" = 1.2.0 ]; then exit 70; fi');
    await robot.hook('rolled-back', 'echo "$DROVER_VERSION" > "$DROVER_ROOT/went-to"');
    await site.publish(broker.url, await site.bundle('1.2.0'), '--id', 'bad');
    await robot.until('gave 1.2.0 up', (s) => s.blocked.includes('1.2.0'), 60_000);
    assert.equal(await readFile(join(robot.root, 'went-to'), 'utf8'), '1.0.0\n');
  });

  it('keeps a robot on a version that fails, and the next version ends that', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await robot.hook('start', 'rm -f "$DROVER_ROOT/releases/1.0.0/bin/app"');
    await robot.hook('health', 'if [ "$DROVER_VERSION" = 1.1.0 ]; then exit 70; fi');
    await site.publish(broker.url, await site.bundle('1.1.0'), '--id', 'bad');
    const stuck = await robot.until('is stuck', isStuck, 90_000);
    assert.deepEqual([stuck.version, stuck.last_error?.code], ['1.1.0', 'RELEASE_DAMAGED']);
    assert.equal(await activeOf(robot), '1.1.0');
    await robot.hook('start', 'exit 0');
    await site.publish(broker.url, await site.bundle('1.2.0'), '--supersede', 'bad');
    await robot.runs('1.2.0', 60_000);
  });
});
