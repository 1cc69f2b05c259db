/**
 * `npm run demo`: the whole life of a bundle on this machine, with real processes, in under two
 * minutes. Five robots take 1.0.0; then 1.1.0 comes: two take it, one is killed in mid-transfer and
 * goes on where it was, one fails its health check and goes back, one is busy until it is told
 * otherwise. A forged announcement is refused by all. Exit 0 only if all of that happened.
 */

import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callLocalApi } from '../robot-client/io/local-client.ts';
import { connectWire } from '../shared/io/mqtt-wire.ts';
import { makeLog } from '../shared/io/cli.ts';
import { UPDATES_TOPIC } from '../shared/topics.ts';
import { signAnnouncement } from '../shared/announcement.ts';
import { FleetWatch } from './demo/fleet-watch.ts';
import { Processes } from './demo/processes.ts';
import { makeApplication, makeHooks, makeRobotRoot } from './demo/workshop.ts';
import { randomBytes } from 'node:crypto';

const DEMO_MS_MAX = 110_000;
const ROBOTS = ['r1', 'r2', 'r3', 'r4', 'r5'] as const;
/** Slow enough to be killed in mid-transfer. */
const SLOW_ROBOT = 'r3';
const SLOW_RATE = '1M';
/** Has the calibration of the first generation, which 1.1.0 cannot work with. */
const OLD_ROBOT = 'r4';
const BUSY_ROBOT = 'r5';

const home = await mkdtemp(join(tmpdir(), 'drover-demo-'));
const logs = join(home, 'logs');
await mkdir(logs);
const processes = new Processes(logs);
const at = (...parts: string[]): string => join(home, ...parts);
let steps = 0;

function title(text: string): void {
  steps += 1;
  console.log(`\n${steps}. ${text}`);
}

function check(what: string, holds: boolean): void {
  if (!holds) throw new Error(`not so: ${what}`);
  console.log(`    ok: ${what}`);
}

interface Stage {
  readonly mqttUrl: string;
  readonly watch: FleetWatch;
  readonly publisher: Record<string, string>;
  readonly secrets: ReadonlyMap<string, string>;
}

async function prepareTrust(): Promise<void> {
  title('Keys: the release key says what may run, the rollout key who gets it and when');
  for (const name of ['release', 'rollout']) {
    await processes.run('publisher', ['keygen', '--out', at('keys', name)], { show: true });
  }
  await processes.run(
    'publisher',
    [
      'trust',
      'init',
      '--release',
      at('keys/release.pub'),
      '--rollout',
      at('keys/rollout.pub'),
      '--fleet',
      'demo',
      '--out',
      at('trust.json'),
    ],
    { show: true },
  );
}

async function buildAndSign(version: string, needsCalibration: number): Promise<void> {
  await makeApplication(at('app', version), { version, needsCalibration });
  const bundle = at('bundles', version);
  await processes.run(
    'publisher',
    [
      'build',
      at('app', version),
      '--version',
      version,
      '--arch',
      'any',
      '--min-current',
      '1.0.0',
      '--rollback',
      '1.0.0',
      '--out',
      bundle,
    ],
    { show: true },
  );
  await processes.run('publisher', ['sign', bundle, '--key', at('keys/release.key')], {
    show: true,
  });
}

async function startBroker(): Promise<Stage> {
  title(
    'The broker, with a credential for each robot; it is given no trust file: carriers are not trusted',
  );
  const secrets = new Map<string, string>();
  const roles = [['ci', 'publisher'], ['op', 'technician'], ...ROBOTS.map((id) => [id, 'robot'])];
  for (const [user, role] of roles as [string, string][]) {
    const robot = role === 'robot' ? ['--robot-id', user] : [];
    const output = await processes.run('broker', [
      'passwd',
      '--file',
      at('credentials.json'),
      '--user',
      user,
      '--role',
      role,
      ...robot,
      '--json',
    ]);
    secrets.set(
      user,
      (JSON.parse(output.trim().split('\n').at(-1) ?? '') as { token: string }).token,
    );
  }
  const { line } = await processes.start(
    'broker',
    'broker',
    [
      '--data',
      at('broker'),
      '--mqtt',
      '0',
      '--http',
      '0',
      '--credentials',
      at('credentials.json'),
      '--json',
    ],
    { waitForLine: true },
  );
  const ports = JSON.parse(line) as { mqtt: number; http: number };
  console.log(`    MQTT on port ${ports.mqtt}, HTTP on port ${ports.http}`);
  const mqttUrl = `mqtt://127.0.0.1:${ports.mqtt}`;
  const watch = new FleetWatch(`http://127.0.0.1:${ports.http}`, secrets.get('op') ?? '');
  watch.start();
  const publisher = { DROVER_USERNAME: 'ci', DROVER_PASSWORD: secrets.get('ci') ?? '' };
  return { mqttUrl, watch, publisher, secrets };
}

async function publish(stage: Stage, version: string): Promise<void> {
  const args = [
    'publish',
    at('bundles', version),
    '--broker',
    stage.mqttUrl,
    '--key',
    at('keys/rollout.key'),
    '--trust',
    at('trust.json'),
    '--waves',
    '100',
    '--health-timeout',
    '8s',
  ];
  await processes.run('publisher', args, { show: true, env: stage.publisher });
}

async function startRobot(stage: Stage, id: string): ReturnType<Processes['start']> {
  const rate = id === SLOW_ROBOT ? ['--max-rate', SLOW_RATE] : [];
  return await processes.start(
    'robot-client',
    id,
    [
      '--id',
      id,
      '--broker',
      stage.mqttUrl,
      '--root',
      at(id),
      '--trust',
      at('trust.json'),
      '--hooks',
      at('hooks'),
      ...rate,
    ],
    { env: { DROVER_USERNAME: id, DROVER_PASSWORD: stage.secrets.get(id) ?? '' } },
  );
}

const socketOf = (id: string): string => at(id, 'state/agent.sock');

interface Transfer {
  bytes_done: number;
  bytes_total: number;
  chunks_fetched: number;
}

async function transferOf(id: string): Promise<Transfer | null> {
  try {
    const status = await callLocalApi(socketOf(id), 'GET', '/status');
    const [component] = (status as { components: { phase: string; transfer: Transfer | null }[] })
      .components;
    return component?.phase === 'downloading' ? component.transfer : null;
  } catch {
    return null; // between a kill and a start nobody listens
  }
}

async function transferWhen(id: string, holds: (transfer: Transfer) => boolean): Promise<Transfer> {
  for (let tries = 0; tries < 400; tries += 1) {
    const transfer = await transferOf(id);
    if (transfer && holds(transfer)) return transfer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${id}: its download was never seen in that state`);
}

/** Kills the slow robot in mid-transfer and starts it again. */
async function cutAndResume(
  stage: Stage,
  slow: Awaited<ReturnType<typeof startRobot>>,
): Promise<void> {
  const before = await transferWhen(SLOW_ROBOT, (t) => t.bytes_done > 0.3 * t.bytes_total);
  await processes.kill(slow.child, 'SIGKILL');
  const percent = (t: Transfer): number => Math.round((100 * t.bytes_done) / t.bytes_total);
  console.log(`    ${SLOW_ROBOT}  killed with SIGKILL at ${percent(before)} %`);
  await startRobot(stage, SLOW_ROBOT);
  const after = await transferWhen(SLOW_ROBOT, () => true);
  const kept = after.bytes_done - after.chunks_fetched * 262_144;
  check(
    `${SLOW_ROBOT} went on at ${percent(after)} %: what it had verified was not fetched again`,
    kept >= before.bytes_done,
  );
}

async function refuseForgery(stage: Stage): Promise<void> {
  title('A forged announcement, signed by a stranger, sent with a stolen publisher password');
  const wire = await connectWire(
    {
      url: stage.mqttUrl,
      clientId: 'forger',
      username: 'ci',
      password: stage.secrets.get('ci') ?? '',
    },
    { onMessage: () => {} },
    makeLog('demo', 'silent'),
  );
  const stranger = new Uint8Array(randomBytes(32));
  const expires = new Date(Date.now() + 86_400_000).toISOString();
  const forged = signAnnouncement(
    {
      fleet: 'demo',
      seq: Math.floor(Date.now() / 1000) + 1_000_000,
      issued_at: new Date().toISOString(),
      expires_at: expires,
      rollouts: [],
    },
    [stranger],
  );
  await wire.send(UPDATES_TOPIC, forged, { retain: true, qos: 1 });
  await wire.close();
  await stage.watch.until(
    'every robot refuses',
    (w) => ROBOTS.every((id) => w.row(id)?.last_error?.code === 'ENVELOPE_KEY_UNKNOWN'),
    20_000,
  );
  check(
    'every robot refused it with ENVELOPE_KEY_UNKNOWN and runs what it ran',
    stage.watch.row('r1')?.version === '1.1.0',
  );
}

async function showVersions(stage: Stage): Promise<void> {
  title('The fleet, as GET /robots/versions tells it');
  const { versions } = await stage.watch.get<{ versions: { robot_id: string; version: string }[] }>(
    '/robots/versions',
  );
  const counts = new Map<string, number>();
  for (const { version } of versions) counts.set(version, (counts.get(version) ?? 0) + 1);
  for (const [version, count] of counts)
    console.log(`    ${version}  ${count} robot${count === 1 ? '' : 's'}`);
  check(
    'four robots run 1.1.0 and one 1.0.0',
    counts.get('1.1.0') === 4 && counts.get('1.0.0') === 1,
  );
}

async function story(): Promise<void> {
  await prepareTrust();
  title('Two releases of a real application (more than 20 MB), built and signed');
  await buildAndSign('1.0.0', 1);
  await buildAndSign('1.1.0', 2);
  await makeHooks(at('hooks'));
  for (const id of ROBOTS) await makeRobotRoot(at(id), id === OLD_ROBOT ? 1 : 2);
  const stage = await startBroker();
  const { watch } = stage;

  title('Release 1.0.0 to five robots that have nothing yet');
  await publish(stage, '1.0.0');
  const started = new Map<string, Awaited<ReturnType<typeof startRobot>>>();
  for (const id of ROBOTS) started.set(id, await startRobot(stage, id));
  await watch.until(
    'all run 1.0.0',
    (w) => ROBOTS.every((id) => w.row(id)?.version === '1.0.0' && w.row(id)?.phase === 'idle'),
    60_000,
  );
  check('five robots run 1.0.0', true);

  title(
    `Release 1.1.0: ${SLOW_ROBOT} loses power in mid-transfer, ${OLD_ROBOT} cannot work with it, ${BUSY_ROBOT} is busy`,
  );
  await callLocalApi(socketOf(BUSY_ROBOT), 'POST', '/ready', {
    ready: false,
    reason: 'carrying a pallet',
  });
  await publish(stage, '1.1.0');
  const slow = started.get(SLOW_ROBOT);
  if (!slow) throw new Error('no slow robot');
  await cutAndResume(stage, slow);
  await watch.until(
    `${OLD_ROBOT} rolls back`,
    (w) =>
      w.row(OLD_ROBOT)?.last_error?.code === 'HEALTH_DEADLINE' &&
      w.row(OLD_ROBOT)?.phase === 'idle',
    40_000,
  );
  check(
    `${OLD_ROBOT} failed its health check and is back on 1.0.0 (HEALTH_DEADLINE)`,
    watch.row(OLD_ROBOT)?.version === '1.0.0',
  );
  await watch.until(`${BUSY_ROBOT} waits`, (w) => w.row(BUSY_ROBOT)?.phase === 'waiting', 20_000);
  console.log(await explain(BUSY_ROBOT));
  await callLocalApi(socketOf(BUSY_ROBOT), 'POST', '/ready', { ready: true });
  await watch.until(
    'the others run 1.1.0',
    (w) =>
      ['r1', 'r2', SLOW_ROBOT, BUSY_ROBOT].every(
        (id) => w.row(id)?.version === '1.1.0' && w.row(id)?.phase === 'idle',
      ),
    40_000,
  );
  check('the other four run 1.1.0', true);

  await refuseForgery(stage);
  await showVersions(stage);
  watch.stop();
}

async function explain(id: string): Promise<string> {
  const output = await processes.run('robot-client', ['explain', '--root', at(id)]);
  return output.trimEnd().replace(/^/gm, '    ');
}

/** The applications that the robots' hooks started are not our children: ended by their pid. */
async function endApplications(): Promise<void> {
  for (const id of ROBOTS) {
    const pid = Number(await readFile(at(id, 'arm.pid'), 'utf8').catch(() => '0'));
    try {
      if (pid > 0) process.kill(pid, 'SIGTERM');
    } catch {
      // it has ended already
    }
  }
}

const overtime = setTimeout(() => {
  console.error(`demo: error: not done within ${DEMO_MS_MAX / 1000} s; logs are kept in ${logs}`);
  process.exit(1);
}, DEMO_MS_MAX);
try {
  await story();
  console.log('\nAll of it happened.');
  await processes.endAll();
  await endApplications();
  await rm(home, { recursive: true, force: true });
} catch (error) {
  console.error(`\ndemo: error: ${error instanceof Error ? error.message : String(error)}`);
  console.error(`demo: hint: the logs of every process are in ${logs}`);
  await processes.endAll();
  await endApplications();
  await writeFile(join(logs, 'demo.txt'), String(error));
  process.exitCode = 1;
} finally {
  clearTimeout(overtime);
}
