/**
 * `npm run demo`: the whole life of a bundle on this machine, with real processes, in under two
 * minutes on a quiet machine. Five robots take 1.0.0; then 1.1.0 comes: two take it, one is killed
 * in mid-transfer and resumes the transfer, one fails its health check and goes back, one is busy
 * and waits until it no longer is. All refuse a forged announcement. Exit 0 only if all of that
 * happened.
 */

import { prepareReleases, prepareTrust, publish, startCarrier } from './demo/prepare.ts';
import type { Started } from './demo/processes.ts';
import { ROBOTS_DEFAULT, runScenario } from './demo/rollout-scenario.ts';
import { cutAndResume, refuseForgery } from './demo/trials.ts';
import { BUSY_ROBOT, OLD_ROBOT, ROBOTS, SLOW_ROBOT, World, type Carrier } from './demo/world.ts';

/** A demo that hangs ends here. A machine with nothing else to do needs less than two minutes. */
const DEMO_MS_MAX = 600_000;

async function firstRelease(world: World, carrier: Carrier): Promise<Map<string, Started>> {
  world.title('Release 1.0.0 to five robots that have nothing yet');
  await publish(world, carrier, '1.0.0');
  const started = new Map<string, Started>();
  for (const id of ROBOTS) started.set(id, await world.startRobot(carrier, id));
  const { watch } = carrier;
  await watch.until('all run 1.0.0', () => ROBOTS.every((id) => watch.runs(id, '1.0.0')));
  world.check('five robots run 1.0.0', true);
  return started;
}

async function secondRelease(
  world: World,
  carrier: Carrier,
  started: ReadonlyMap<string, Started>,
): Promise<void> {
  const trouble = `${SLOW_ROBOT} loses power, ${OLD_ROBOT} cannot work with it, ${BUSY_ROBOT} is busy`;
  world.title(`Release 1.1.0: ${trouble}`);
  await world.askRobot(BUSY_ROBOT, 'POST', '/ready', { ready: false, reason: 'carrying a pallet' });
  await publish(world, carrier, '1.1.0');
  const slow = started.get(SLOW_ROBOT);
  if (slow) await cutAndResume(world, carrier, slow);
  const { watch } = carrier;
  const code = 'HEALTH_DEADLINE';
  const isBack = (): boolean =>
    watch.runs(OLD_ROBOT, '1.0.0') && watch.row(OLD_ROBOT)?.last_error?.code === code;
  await watch.until(`${OLD_ROBOT} goes back`, isBack);
  world.check(`${OLD_ROBOT} failed its health check and went back to 1.0.0 (${code})`, true);
  await watch.until('the busy one waits', () => watch.row(BUSY_ROBOT)?.phase === 'waiting');
  await world.processes.run('robot-client', ['explain', '--root', world.path(BUSY_ROBOT)], {
    show: true,
  });
  await world.askRobot(BUSY_ROBOT, 'POST', '/ready', { ready: true });
  const others = ROBOTS.filter((id) => id !== OLD_ROBOT);
  await watch.until('the others run 1.1.0', () => others.every((id) => watch.runs(id, '1.1.0')));
  world.check('the other four run 1.1.0', true);
}

async function showVersions(world: World, carrier: Carrier): Promise<void> {
  world.title('The fleet, as GET /robots/versions tells it');
  const { versions } = await carrier.watch.get<{
    versions: { robot_id: string; version: string }[];
  }>('/robots/versions');
  const counts = new Map<string, number>();
  for (const { version } of versions) counts.set(version, (counts.get(version) ?? 0) + 1);
  for (const [version, count] of [...counts].sort()) console.log(`    ${version}  ${count}`);
  world.check(
    'four robots run 1.1.0 and one 1.0.0',
    counts.get('1.1.0') === 4 && counts.get('1.0.0') === 1,
  );
}

async function runStory(): Promise<void> {
  const world = await World.open();
  // Nothing that the demo started outlives it.
  const giveUp = (why: string): void => {
    console.error(`demo: error: ${why}; see ${world.path('logs')}`);
    const exit = (): never => process.exit(1);
    world.close(true).then(exit, exit);
  };
  const overtime = setTimeout(() => giveUp(`not done within ${DEMO_MS_MAX / 1000} s`), DEMO_MS_MAX);
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => giveUp(`ended by ${signal}`));
  try {
    await prepareTrust(world);
    await prepareReleases(world);
    const carrier = await startCarrier(world);
    const started = await firstRelease(world, carrier);
    await secondRelease(world, carrier, started);
    await refuseForgery(world, carrier);
    await showVersions(world, carrier);
    carrier.watch.stop();
    await world.close(false);
    console.log('\nAll of it happened.');
  } catch (error) {
    console.error(`\ndemo: error: ${error instanceof Error ? error.message : String(error)}`);
    console.error(`demo: hint: the logs of every process are in ${world.path('logs')}`);
    await world.close(true);
    process.exitCode = 1;
  }
  clearTimeout(overtime);
}

function option(name: string): string | null {
  const at = process.argv.indexOf(name);
  return at < 0 ? null : (process.argv[at + 1] ?? '');
}

const scenario = option('--scenario');
const robots = Number(option('--robots') ?? ROBOTS_DEFAULT);
if (scenario === null) {
  await runStory();
} else if (scenario !== 'bad-canary' && scenario !== 'good') {
  console.error(`demo: error: no such scenario (got ${scenario}, want bad-canary or good)`);
  process.exitCode = 2;
} else if (!(robots >= 100 && robots % 50 === 0)) {
  console.error('demo: error: --robots is a multiple of 50, from 100 on');
  process.exitCode = 2;
} else {
  await runScenario(scenario, robots).catch((error: unknown) => {
    console.error(`\ndemo: error: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  });
}
process.exit();
