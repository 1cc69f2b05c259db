/** A release that stops the agent at each boot: boots are counted, and the robot goes back. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LIMITS } from '../../shared/base/limits.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

/** More than any honest boot loop needs: `--max-boots` is 3. */
const STARTS_MAX = 12;

async function upToDate(t: TestContext): Promise<{ site: Site; robot: Robot; url: string }> {
  const { url } = await startBrokerChild(t);
  const site = await Site.open(t);
  const robot = site.robot('r1', url);
  await site.publish(url, await site.bundle('1.0.0'));
  await robot.runs('1.0.0');
  return { site, robot, url };
}

/** As the service manager does: starts what died again. Returns how often it had to. */
async function superviseUntil(robot: Robot, isOver: () => Promise<boolean>): Promise<number> {
  for (let starts = 0; starts < STARTS_MAX; starts += 1) {
    while (robot.child.ended === null) {
      if (await isOver().catch(() => false)) return starts;
      await Promise.race([robot.child.exit, new Promise((resolve) => setTimeout(resolve, 50))]);
    }
    robot.start();
  }
  throw new Error(`still not over after ${STARTS_MAX} starts\n${robot.child.describe()}`);
}

async function isBack(robot: Robot): Promise<boolean> {
  const { version, phase, blocked } = await robot.status();
  return version === '1.0.0' && phase === 'idle' && blocked.includes('1.1.0');
}

describe('a release that', () => {
  it('kills the agent at every start ends on the old version, with the reason', async (t) => {
    const { site, robot, url } = await upToDate(t);
    await robot.hook('start', '[ "$DROVER_VERSION" = 1.0.0 ] || kill -9 "$PPID"');
    await site.publish(url, await site.bundle('1.1.0'));
    const starts = await superviseUntil(robot, () => isBack(robot));
    const want = LIMITS.bootAttemptsMaxDefault * LIMITS.probationStartsPerBoot + 1;
    assert.equal(starts, want, 'no boot was among them; the last one goes back');
    const { last_error: error } = await robot.status();
    assert.equal(error?.code, 'START_LIMIT_REACHED');
    assert.match(await readFile(join(robot.root, 'active/VERSION'), 'utf8'), /1\.0\.0/);
  });

  it('hangs in its start hook ends on the old version', async (t) => {
    const { site, robot, url } = await upToDate(t);
    await robot.kill();
    await robot.hook('start', '[ "$DROVER_VERSION" = 1.0.0 ] || sleep 600');
    robot.start('--hook-timeout', '500ms');
    await site.publish(url, await site.bundle('1.1.0'));
    const { last_error: error } = await robot.until('is back', ({ blocked, phase }) => {
      return phase === 'idle' && blocked.includes('1.1.0');
    });
    assert.equal(error?.code, 'HOOK_TIMED_OUT');
    assert.equal((await robot.status()).version, '1.0.0');
  });

  it('is healthy only every now and then ends on the old version', async (t) => {
    const { site, robot, url } = await upToDate(t);
    const flap =
      'n=$(cat "$DROVER_ROOT/n" 2>/dev/null || echo 0); echo $((n+1)) > "$DROVER_ROOT/n"';
    await robot.hook('health', `${flap}; [ $((n % 2)) = 0 ]`);
    await site.publish(url, await site.bundle('1.1.0'), '--health-timeout', '3s');
    const { last_error: error } = await robot.until('is back', ({ blocked, phase }) => {
      return phase === 'idle' && blocked.includes('1.1.0');
    });
    assert.equal(error?.code, 'HEALTH_DEADLINE');
    assert.equal((await robot.status()).version, '1.0.0');
  });
});
