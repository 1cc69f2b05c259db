/**
 * Real processes: a system image and an application as one set, on a robot whose restart runs
 * `recover` and the agent again from the slot that the boot loader chose.
 */

import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { A, makeOwn, type BootLoader } from '../robot-client/boot/boot-loaders.ts';
import { startDrover } from '../helpers/child.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site, type Robot } from './site.ts';

const SLOT_BYTES = 1024 * 1024;

async function imageOf(site: Site, version: string): Promise<string> {
  const [image, out] = [site.path(`root-${version}.img`), site.path('bundles', `s-${version}`)];
  await writeFile(image, `system ${version}`);
  await truncate(image, SLOT_BYTES / 2);
  const what = ['--name', 'system', '--version', version, '--arch', 'any'];
  await site.drover('build', '--image', image, ...what, '--out', out);
  await site.drover('sign', out, '--key', site.path('release.key'));
  return out;
}

interface Machine {
  readonly robot: Robot;
  readonly boot: string;
  /** Words of `recover` at each boot. */
  readonly boots: string[];
  /** The power fails, and the machine starts again. */
  cut(): void;
  isOn: boolean;
}

/** The machine: when the agent has ended, the boot loader chooses, and recover comes first. */
async function machineOf(t: TestContext, site: Site, broker: string): Promise<Machine> {
  const boot = site.path('boot.d');
  await mkdir(boot);
  const loader = await makeOwn(boot);
  await loader.open(A);
  const files = { A: site.path('slot-a'), B: site.path('slot-b') };
  for (const path of Object.values(files)) {
    await writeFile(path, '');
    await truncate(path, SLOT_BYTES);
  }
  const reboot = site.path('reboot');
  await writeFile(reboot, '#!/bin/sh\nkill -9 $PPID\n');
  await chmod(reboot, 0o755);
  const slots = ['--boot', `programs:${boot}`, '--slot-device', `A=${files.A},B=${files.B}`];
  const roots = ['--root', `system=${site.path('system')}`];
  const robot = site.robot('r1', broker, [...roots, ...slots, '--reboot-command', reboot]);
  const machine: Machine = {
    ...{ robot, boot, boots: [], isOn: true },
    cut: () => robot.child.kill('SIGKILL'),
  };
  t.after(() => (machine.isOn = false));
  run(t, { site, machine, loader, slots }).catch((thrown: unknown) => {
    t.diagnostic(`the machine is broken: ${String(thrown)}`);
  });
  return machine;
}

interface Parts {
  readonly site: Site;
  readonly machine: Machine;
  readonly loader: BootLoader;
  readonly slots: readonly string[];
}

async function run(t: TestContext, { site, machine, loader, slots }: Parts): Promise<void> {
  const { robot, boots } = machine;
  for (;;) {
    await robot.child.exit;
    if (!machine.isOn) return;
    await loader.open(await loader.boot());
    const roots = ['--root', robot.root, '--root', `system=${site.path('system')}`];
    const recover = startDrover(t, 'robot-client', ['recover', ...roots, ...slots]);
    await recover.exit;
    boots.push(recover.stdout);
    robot.start();
  }
}

test('an image and an application are taken as one through a power cut, and go back as one', async (t) => {
  const site = await Site.open(t);
  const broker = await startBrokerChild(t, { args: [] });
  const machine = await machineOf(t, site, broker.url);
  const { robot, boot, boots } = machine;
  // The first agent made the roots: recover finds them at the next boot.
  await robot.component('app').until('is up', ({ phase }) => phase === 'idle');
  machine.cut();
  const publish = async (version: string, ...more: string[]): Promise<void> => {
    const bundles = [await imageOf(site, version), await site.bundle(version)];
    const at = ['--broker', broker.url, '--waves', '100', '--soak', '0'];
    const keys = ['--key', site.path('rollout.key'), '--trust', site.path('trust.json')];
    const words = [...bundles, '--together', ...at, ...keys, ...more];
    assert.match(await site.drover('publish', ...words), /announced set/);
  };
  const both = async (version: string): Promise<void> => {
    for (const name of ['system', 'app']) await robot.component(name).runs(version);
  };
  const mark = async (): Promise<string> => (await readFile(join(boot, 'mark'), 'utf8')).trim();
  await mkdir(robot.hooks, { recursive: true });
  const hook = async (text: string): Promise<void> => {
    await writeFile(join(robot.hooks, 'health'), `#!/bin/sh\n${text}\n`);
    await chmod(join(robot.hooks, 'health'), 0o755);
  };
  const go = site.path('go');
  await hook(`[ -e ${go} ]`);
  await waitUntil('a boot', () => boots.length === 1);
  await robot.component('app').until('is up', ({ phase }) => phase === 'idle');

  // Its last report may be of the first start.
  await publish('1.0.0', '--id', 'one', '--anyway', '--health-timeout', '6s');
  await robot.component('app').until('is on trial', ({ phase }) => phase === 'probation');
  const before = boots.length;
  assert.match(boots.at(-1) ?? '', /app: boots 1\.0\.0/);
  assert.match(boots.at(-1) ?? '', /system: runs 1\.0\.0 in slot B/);
  machine.cut();
  await waitUntil('another boot', () => boots.length > before);
  assert.match(boots.at(-1) ?? '', /follows the image system 1\.0\.0: slot B runs/);
  assert.match(boots.at(-1) ?? '', /boot \d of 1\.0\.0 without a confirmation/);
  await writeFile(go, '');
  await both('1.0.0');
  assert.equal(await mark(), 'B,+');

  await hook('[ "$DROVER_COMPONENT$DROVER_VERSION" != app2.0.0 ] || exit 70');
  await publish('2.0.0', '--id', 'two', '--supersede', 'one', '--health-timeout', '2s');
  await robot.component('app').until('went back', ({ blocked, phase }) => {
    return phase === 'idle' && blocked.includes('2.0.0');
  });
  await both('1.0.0');
  assert.equal(await mark(), 'B,x');
  const { last_error: why } = await robot.status('system');
  assert.equal(why?.code, 'SET_FAILED');
  assert.match(boots.at(-1) ?? '', /app: boots 1\.0\.0 \(reverting\)/);
  const came = /system: runs 1\.0\.0 in slot B; active names 2\.0\.0, and the agent mends that/;
  assert.match(boots.at(-1) ?? '', came);
  machine.isOn = false;
  await robot.kill();
});
