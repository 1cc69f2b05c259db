/**
 * `npm run demo -- --scenario bad-canary` and `-- --scenario good`: two hundred robots on 1.0.0, and
 * a release engineer who publishes 1.1.0 and goes home. A version that crashes in a fifth of its
 * tasks halts in the canary wave and its canaries go back alone; a good one reaches everybody.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditEntry, RunView } from '../../broker/rollout/rollout-view.ts';
import { prepareTrust } from './prepare.ts';
import { REPOSITORY } from './workshop.ts';
import { World } from './world.ts';

export type Scenario = 'bad-canary' | 'good';

export const ROBOTS_DEFAULT = 200;
const PER_PROCESS = 50;
const MIN_CANARIES = 4;
/** Share of tasks that crash: the old version now and then, the bad one in every fifth. */
const CRASHES = { old: 0.002, good: 0.002, bad: 0.2 };
const INSTALL_MS = 120_000;
const ROLLOUT_MS = 240_000;

interface Row {
  readonly robot_id: string;
  readonly version: string | null;
  readonly phase: string;
  readonly blocked: readonly string[];
  readonly components: readonly { readonly usage?: readonly { version: string | null }[] }[];
}

/** @param robots a multiple of fifty, from a hundred on */
export async function runScenario(scenario: Scenario, robots: number): Promise<void> {
  const world = await World.open();
  const workers: ChildProcess[] = [];
  try {
    await prepareTrust(world);
    world.title('Two releases: 1.0.0, and 1.1.0 as the scenario wants it');
    await makeRelease(world, '1.0.0', CRASHES.old);
    await makeRelease(world, '1.1.0', scenario === 'good' ? CRASHES.good : CRASHES.bad);
    const site = { ...(await startBroker(world)), robots };
    world.title(`${robots} robots, and 1.0.0 on all of them`);
    await publish(world, site, '1.0.0', ['--waves', '100', '--soak', '0']);
    for (let at = 0; at < robots; at += PER_PROCESS)
      workers.push(await startRobots(world, site, at));
    await until('all run 1.0.0', INSTALL_MS, async () => (await runs(site, '1.0.0')) === robots);
    world.check(`${robots} robots run 1.0.0`, true);
    world.title('1.1.0 in waves of 1, 10, 50 and 100 percent');
    await publish(world, site, '1.1.0', WAVES);
    const run = await follow(site);
    await (scenario === 'good' ? judgeGood(world, site, run) : judgeBad(world, site, run));
    await endAll(world, workers, false);
    console.log('\nAll of it happened.');
  } catch (error) {
    await endAll(world, workers, true);
    console.error(`demo: hint: the logs of every process are in ${world.path('logs')}`);
    throw error;
  }
}

/** Short waits, so that the story fits into minutes; the tests and their error are the real ones. */
const WAVES = [
  ['--waves', '1,10,50,100', '--soak', '5s', '--min-canaries', String(MIN_CANARIES)],
  ['--gate', 'batch_s=5', '--gate', 'evidence_wait_s=15', '--gate', 'vanish_s=60'],
  ['--late-spread', '1s', '--supersede', '1.0.0'],
].flat();

interface Site {
  readonly robots: number;
  readonly mqtt: string;
  readonly http: string;
}

async function makeRelease(world: World, version: string, crashShare: number): Promise<void> {
  const app = world.path('app', version);
  await mkdir(app, { recursive: true });
  await writeFile(join(app, 'behaviour.json'), JSON.stringify({ crash_share: crashShare }));
  const bundle = world.path('bundles', version);
  await world.drover(['build', app, '--version', version, '--arch', 'any', '--out', bundle]);
  await world.drover(['sign', bundle, '--key', world.path('keys/release.key')]);
}

async function startBroker(world: World): Promise<Omit<Site, 'robots'>> {
  world.title('The broker leads rollouts: it has the trust file and the rollout key');
  const lead = [
    '--trust',
    world.path('trust.json'),
    '--rollout-key',
    world.path('keys/rollout.key'),
  ];
  const ports = ['--mqtt', '0', '--http', '0', '--controller-start', '2s', '--json'];
  const args = ['--data', world.path('broker'), ...lead, ...ports];
  const { line } = await world.processes.start('broker', 'broker', args, { waitForLine: true });
  const { mqtt, http } = JSON.parse(line) as { mqtt: number; http: number };
  return { mqtt: `mqtt://127.0.0.1:${mqtt}`, http: `http://127.0.0.1:${http}` };
}

async function startRobots(world: World, site: Site, first: number): Promise<ChildProcess> {
  const program = join(REPOSITORY, 'dist/examples/demo/fleet-worker.js');
  const facts = [String(first), String(PER_PROCESS), site.mqtt, world.path('trust.json')];
  const child = spawn(process.execPath, [program, ...facts, world.path('robots')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error('the robots did not start'))),
  ]);
  return child;
}

async function publish(
  world: World,
  site: Site,
  version: string,
  more: readonly string[],
): Promise<void> {
  const signed = ['--key', world.path('keys/rollout.key'), '--trust', world.path('trust.json')];
  const bundle = world.path('bundles', version);
  const id = ['--id', version.replaceAll('.', '-')];
  const args = more.map((one) => (one === '1.0.0' ? '1-0-0' : one));
  await world.drover(['publish', bundle, '--broker', site.mqtt, ...signed, ...id, ...args]);
}

async function get<T>(site: Site, path: string): Promise<T> {
  const response = await fetch(`${site.http}${path}`);
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

const rows = async (site: Site): Promise<readonly Row[]> =>
  (await get<{ robots: Row[] }>(site, '/robots')).robots;

async function runs(site: Site, version: string): Promise<number> {
  return (await rows(site)).filter((one) => one.version === version && one.phase === 'idle').length;
}

async function until(what: string, forMs: number, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + forMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${forMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** Prints each decision as it is made, until the rollout is over. */
async function follow(site: Site): Promise<RunView> {
  let seen = 0;
  let last: RunView | null = null;
  await until('the rollout ends', ROLLOUT_MS, async () => {
    const found = await fetch(`${site.http}/rollouts/1-1-0`);
    if (found.status === 404) return false;
    last = ((await found.json()) as { run: RunView | null }).run;
    if (!last) return false;
    const history = `/rollouts/1-1-0/history?after=${seen}`;
    for (const entry of (await get<{ entries: AuditEntry[] }>(site, history)).entries) {
      seen = entry.seq;
      console.log(`    ${entry.at.slice(11, 19)}  ${entry.kind.padEnd(10)} ${entry.text}`);
    }
    return last.status === 'complete' || last.status === 'halted';
  });
  if (!last) throw new Error('the rollout was never led');
  return last;
}

async function judgeGood(world: World, site: Site, run: RunView): Promise<void> {
  world.check('the rollout is complete, open to everybody', run.status === 'complete');
  await until('all run 1.1.0', INSTALL_MS, async () => (await runs(site, '1.1.0')) === site.robots);
  world.check(`all ${site.robots} robots run 1.1.0`, true);
}

async function judgeBad(world: World, site: Site, run: RunView): Promise<void> {
  world.check(
    'the rollout halted, and in the canary wave',
    run.status === 'halted' && run.wave === 1,
  );
  world.check('the robots that took it were called back', run.recall);
  const all = await rows(site);
  world.check(
    'every robot runs 1.0.0',
    all.every((one) => one.version === '1.0.0'),
  );
  const tookIt = all.filter((one) => one.blocked.includes('1.1.0'));
  console.log(`    the canaries were ${tookIt.map((one) => one.robot_id).join(', ')}`);
  world.check('the canaries have blocked 1.1.0', tookIt.length >= MIN_CANARIES);
  world.check('they were a handful of the fleet', tookIt.length <= site.robots / 20);
  const others = all.filter((one) => !tookIt.includes(one));
  const touched = others.filter((one) =>
    one.components.some(({ usage = [] }) => usage.some(({ version }) => version === '1.1.0')),
  );
  world.check('no other robot ever ran 1.1.0', touched.length === 0);
}

async function endAll(
  world: World,
  workers: readonly ChildProcess[],
  keepFiles: boolean,
): Promise<void> {
  for (const child of workers) child.kill('SIGKILL');
  await world.close(keepFiles);
}
