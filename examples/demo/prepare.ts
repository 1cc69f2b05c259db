/**
 * Prepares the demo: keys and trust, two signed releases, a broker with a credential for each user.
 */

import { FleetWatch } from './fleet-watch.ts';
import { makeApplication, makeHooks, makeRobotRoot } from './workshop.ts';
import { OLD_ROBOT, ROBOTS, type Carrier, type World } from './world.ts';

export async function prepareTrust(world: World): Promise<void> {
  world.title('Keys: the release key says what may run, the rollout key who gets it and when');
  for (const name of ['release', 'rollout']) {
    await world.drover(['keygen', '--out', world.path('keys', name)]);
  }
  const keys = [
    '--release',
    world.path('keys/release.pub'),
    '--rollout',
    world.path('keys/rollout.pub'),
  ];
  await world.drover([
    'trust',
    'init',
    ...keys,
    '--fleet',
    'demo',
    '--out',
    world.path('trust.json'),
  ]);
}

export async function prepareReleases(world: World): Promise<void> {
  world.title('Two releases of a real application (more than 20 MB), built and signed');
  await buildAndSign(world, { version: '1.0.0', needsCalibration: 1 }, []);
  const after = ['--min-current', '1.0.0', '--rollback', '1.0.0'];
  await buildAndSign(world, { version: '1.1.0', needsCalibration: 2 }, after);
  await makeHooks(world.path('hooks'));
  for (const id of ROBOTS) await makeRobotRoot(world.path(id), id === OLD_ROBOT ? 1 : 2);
}

async function buildAndSign(
  world: World,
  release: { version: string; needsCalibration: number },
  more: readonly string[],
): Promise<void> {
  const { version } = release;
  await makeApplication(world.path('app', version), release);
  const bundle = world.path('bundles', version);
  const build = ['build', world.path('app', version), '--version', version, '--arch', 'any'];
  await world.drover([...build, ...more, '--out', bundle]);
  await world.drover(['sign', bundle, '--key', world.path('keys/release.key')]);
}

export async function startCarrier(world: World): Promise<Carrier> {
  world.title(
    'The broker. It is given no trust file: the robots trust no carrier, and will show it',
  );
  const credentials = ['--file', world.path('credentials.json'), '--json'];
  const tokens = new Map<string, string>();
  const robots = ROBOTS.map((id) => [id, 'robot'] as const);
  for (const [user, role] of [['ci', 'publisher'], ['op', 'technician'], ...robots] as const) {
    const args = ['passwd', ...credentials, '--user', user, '--role', role];
    const output = await world.processes.run('broker', args);
    tokens.set(user, (JSON.parse(output) as { token: string }).token);
  }
  const ports = ['--mqtt', '0', '--http', '0', '--json'];
  const args = ['--data', world.path('broker'), '--credentials', world.path('credentials.json')];
  const { line } = await world.processes.start('broker', 'broker', [...args, ...ports], {
    waitForLine: true,
  });
  const { mqtt, http } = JSON.parse(line) as { mqtt: number; http: number };
  const token = tokens.get('op') ?? '';
  console.log(
    `    MQTT on port ${mqtt}; the dashboard is http://127.0.0.1:${http} while this runs`,
  );
  console.log(`    TOKEN=${token}`);
  const watch = new FleetWatch(`http://127.0.0.1:${http}`, token);
  watch.start();
  return { mqttUrl: `mqtt://127.0.0.1:${mqtt}`, watch, tokens };
}

export async function publish(world: World, carrier: Carrier, version: string): Promise<void> {
  const signed = ['--key', world.path('keys/rollout.key'), '--trust', world.path('trust.json')];
  const args = ['publish', world.path('bundles', version), '--broker', carrier.mqttUrl, ...signed];
  const env = { DROVER_USERNAME: 'ci', DROVER_PASSWORD: carrier.tokens.get('ci') ?? '' };
  await world.drover([...args, '--waves', '100', '--health-timeout', '8s'], env);
}
