/**
 * SIGKILL of a real agent while the second of two components is in the middle of an update and the
 * first is at rest, waits for its turn, or has just been updated. `recover` runs with both roots as
 * at a boot; then each component ends on a whole version, and both on the one that is announced.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from '../e2e/broker-child.ts';
import { Site, type Robot } from '../e2e/site.ts';

const NAMES = ['app', 'nav'];
const NOISE = randomBytes(2 * 1024 * 1024);

interface Kill {
  readonly phase: 'downloading' | 'swapping' | 'probation';
  /** The hook of `nav` that is held until the agent is dead; none while it downloads. */
  readonly hook: 'stop' | 'start' | 'health' | null;
  /** `app` gets the new version as well, and waits until `nav` has swapped. */
  readonly isOtherWaiting: boolean;
}

const KILLS: readonly Kill[] = [
  { phase: 'downloading', hook: null, isOtherWaiting: false },
  { phase: 'swapping', hook: 'stop', isOtherWaiting: false },
  { phase: 'swapping', hook: 'stop', isOtherWaiting: true },
  { phase: 'probation', hook: 'start', isOtherWaiting: true },
  { phase: 'probation', hook: 'health', isOtherWaiting: false },
];

async function recover(t: TestContext, site: Site, robot: Robot): Promise<void> {
  const roots = ['--root', site.path('r1'), '--root', `nav=${site.path('r1-nav')}`];
  const child = startDrover(t, 'robot-client', ['recover', ...roots, '--hooks', robot.hooks]);
  assert.equal((await child.exit).code, 0, child.describe());
  assert.match(child.stdout, /app: boots .*\n(?:.*\n)*nav: boots /);
}

/** Byte by byte what was built as that version, which must be one of these. */
async function assertWhole(site: Site, name: string, may: readonly string[]): Promise<void> {
  const active = join(site.path(name === 'app' ? 'r1' : 'r1-nav'), 'active');
  const version = await readFile(join(active, 'VERSION'), 'utf8');
  assert.ok(may.includes(version), `${name} boots ${version}`);
  execFileSync('diff', ['-r', `${active}/`, site.path('apps', `${name}-${version}`)]);
}

test('two components survive kills in the middle of an update of one of them', async (t) => {
  const broker = await startBrokerChild(t);
  const site = await Site.open(t, [], NAMES);
  const robot = site.robot('r1', broker.url, ['--max-rate', '600k']);
  const release = async (name: string, version: string): Promise<void> => {
    const bundle = await site.bundle(version, { noise: NOISE }, '--name', name);
    await site.publish(broker.url, bundle, '--chunk-size', '64k');
  };
  for (const name of NAMES) await release(name, '1.0.0');
  for (const name of NAMES) await robot.component(name).runs('1.0.0');
  const [held, reached] = [site.path('held'), site.path('reached')];
  for (const name of ['stop', 'start', 'health']) {
    const isHeld = `[ "$DROVER_COMPONENT ${name}" = "$(cat ${held} 2>/dev/null)" ]`;
    await robot.hook(name, `if ${isHeld}; then touch ${reached}; sleep 25; exit 1; fi`);
  }
  const runs = { app: '1.0.0', nav: '1.0.0' };
  for (const [nth, { phase, hook, isOtherWaiting }] of KILLS.entries()) {
    const next = `${nth + 2}.0.0`;
    await writeFile(held, hook ? `nav ${hook}` : '');
    await rm(reached, { force: true });
    await release('nav', next);
    await waitUntil(
      `nav to be held in ${phase}`,
      async () => (hook ? existsSync(reached) : (await robot.status('nav')).transfer !== null),
      { timeoutMs: 60_000, look: () => robot.child.describe() },
    );
    if (isOtherWaiting) {
      await release('app', next);
      await robot.component('app').until('waits for nav', ({ waiting_for }) => {
        return waiting_for?.includes('(nav)') ?? false;
      });
    }
    assert.equal((await robot.status('nav')).phase, phase);
    await robot.kill();
    await rm(held);
    for (const name of ['app', 'nav'] as const) {
      await assertWhole(site, name, [runs[name], next]);
    }
    await recover(t, site, robot);
    await assertWhole(site, 'app', [runs.app]); // it had waited, and nothing of it was begun
    await assertWhole(site, 'nav', [hook ? next : runs.nav]);
    robot.start();
    runs.nav = next;
    if (isOtherWaiting) runs.app = next;
    for (const name of ['app', 'nav'] as const) {
      await robot.component(name).runs(runs[name], 60_000);
      await assertWhole(site, name, [runs[name]]);
    }
  }
});
