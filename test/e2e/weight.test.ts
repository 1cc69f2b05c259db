/**
 * The agent's own weight, against what shared/base/limits.ts promises. Memory is that of a real process
 * after a real update. Bytes are counted with a heartbeat that is shorter, and scaled: reports per
 * heartbeat and bytes per report do not depend on how long a heartbeat is.
 */

import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readProcessStats } from '../../bench/process-stats.ts';
import { Agent } from '../../robot-client/agent.ts';
import { beginStint, encodeUsage, freshUsage } from '../../robot-client/fleet/usage.ts';
import { layoutOf } from '../../robot-client/install/layout.ts';
import { freshState, type LastUpdate } from '../../robot-client/update/state.ts';
import { realDisk } from '../../robot-client/install/disk.ts';
import { writeMachineState } from '../../robot-client/update/state-file.ts';
import { parseRobotId } from '../../shared/base/ids.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { startTcpProxy } from '../helpers/tcp-proxy.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { TrafficMeter } from '../helpers/traffic-meter.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { startIdleRobot } from './idle-robot.ts';

const fleet = makeFleet();
const LOG = makeLog('test', 'silent');
const VERSION = '1.4.2';
const HEARTBEAT_MS = 300;
/** As many heartbeats: two of them are reported by a robot that nobody watches. */
const LOOKS = 24;
const HOUR_MS = 3_600_000;
/** PINGREQ and its answer: two bytes each (MQTT 3.1.1 §3.12, §3.13). */
const PING_BYTES = 4;

interface Field {
  readonly root: string;
  readonly looks: () => Promise<number>;
  readonly traffic: TrafficMeter;
}

const rolloutOf = (version: string): string => `app-${version.replaceAll('.', '-')}-k3f9`;

/** A root as many updates leave it: a full book of counters, and a health hook that is well. */
async function makeRoot(folder: string): Promise<{ root: string; looks: () => Promise<number> }> {
  const root = join(folder, 'root');
  const [release, state, hooks] = ['releases/1.4.2', 'state', 'hooks'].map((one) =>
    join(root, one),
  );
  for (const one of [release, state, hooks]) await mkdir(one ?? '', { recursive: true });
  await symlink(`releases/${VERSION}`, join(root, 'active'));
  let usage = freshUsage('0123456789abcdef');
  for (const version of ['1.3.9', '1.4.0', '1.4.1', VERSION]) {
    usage = beginStint(usage, 'app', { version, rollout: rolloutOf(version) });
  }
  await writeFile(join(state ?? '', 'usage.json'), encodeUsage(usage));
  const [startedAtMs, endedAtMs] = [1_780_000_000_000, 1_780_000_030_000]; // long ago
  const lastUpdate: LastUpdate = {
    ...{ rollout: rolloutOf(VERSION), version: VERSION, outcome: 'installed', code: null },
    ...{ startedAtMs, endedAtMs, bytes: 123_456_789, deltaFrom: null, deltaFailed: null },
  };
  await writeMachineState(realDisk, layoutOf(root), { ...freshState(), lastUpdate });
  const hook = join(hooks ?? '', 'health');
  const asked = join(folder, 'asked');
  await writeFile(hook, `#!/bin/sh\necho x >> ${asked}\necho restarts=0\n`);
  await chmod(hook, 0o755);
  await writeFile(asked, '');
  return { root, looks: async () => (await readFile(asked, 'utf8')).length / 2 };
}

/** A real agent at a real broker; `announced` is what the broker has retained before it comes. */
async function openField(t: TestContext, announced: Uint8Array | null): Promise<Field> {
  const broker = await startBrokerChild(t);
  if (announced) {
    const handlers = { onMessage: () => {} };
    const wire = await connectWire({ url: broker.url, clientId: 'op' }, handlers, LOG);
    await wire.send(UPDATES_TOPIC, announced, { retain: true, qos: 1 });
    await wire.close();
  }
  const proxy = await startTcpProxy(t, broker.port);
  const traffic = new TrafficMeter();
  proxy.tap = traffic.feed;
  const { root, looks } = await makeRoot(await tempFolder(t));
  const agent = new Agent({
    ...{ robot: parseRobotId('warehouse-7-amr-042'), trust: fleet.trust, arch: 'aarch64' },
    ...{ model: 'Raspberry Pi Compute Module 4 Rev 1.1', tags: ['floor2', 'beta'] },
    ...{ bytesPerSecondMax: null, bootsMax: 3, adoptVersion: '0.0.0', disk: realDisk, log: LOG },
    roots: [{ component: 'app', root }],
    hooksFolder: join(root, 'hooks'),
    reportHeartbeatMs: HEARTBEAT_MS,
    reportIntervalMs: HEARTBEAT_MS / 30,
    healthWatchMs: HEARTBEAT_MS,
    link: { url: `mqtt://127.0.0.1:${proxy.port}` },
  });
  await agent.open();
  t.after(() => agent.close());
  await waitUntil('the first report', () => traffic.seen.reports.packets >= 2);
  return { root, looks, traffic };
}

/** Reports per heartbeat times heartbeats per hour, and the keep-alive beside them. */
async function bytesPerHour(t: TestContext, announced: Uint8Array | null): Promise<number> {
  const { looks, traffic } = await openField(t, announced);
  // An agent that has just come tells its floors by itself: those reports are no heartbeats.
  const first = await looks();
  await waitUntil('the reports of a start to be over', async () => (await looks()) - first >= 3);
  const [before, from, startedAt] = [traffic.seen.reports, await looks(), performance.now()];
  await waitUntil(`${LOOKS} looks at health`, async () => (await looks()) - from >= LOOKS);
  const heartbeats = (performance.now() - startedAt) / HEARTBEAT_MS;
  const bytes = traffic.seen.reports.bytes - before.bytes;
  assert.ok(bytes > 0, 'it reports at all');
  const perHeartbeat = bytes / heartbeats;
  const reports = (perHeartbeat * HOUR_MS) / LIMITS.reportHeartbeatMs;
  const pings = (PING_BYTES * HOUR_MS) / (LIMITS.keepaliveS * 1000);
  t.diagnostic(`${Math.round(reports)} bytes of reports an hour, ${pings} to keep the link alive`);
  return reports + pings;
}

describe('an idle agent', () => {
  it('needs no more memory than it promises, also after an update', async (t) => {
    const { child } = await startIdleRobot(t, 'updated');
    const stats = await waitUntil(
      'the memory of the update to be given back',
      async () => {
        const now = await readProcessStats(child.pid);
        return now.rssMiB * 1024 * 1024 <= LIMITS.agentIdleRssBytesMax ? now : null;
      },
      { timeoutMs: 60_000, look: () => child.describe() },
    );
    t.diagnostic(`${stats.rssMiB.toFixed(1)} MiB resident, ${stats.ownMiB.toFixed(1)} its own`);
  });

  it('sends no more than it promises when no rollout goes on', async (t) => {
    const bytes = await bytesPerHour(t, null);
    assert.ok(bytes <= LIMITS.agentIdleBytesPerHourMax, `${bytes} bytes an hour`);
  });

  it('sends no more than it promises while a rollout wants its counters', async (t) => {
    const rollout = fleet.makeRollout('lab-1', await fleet.makeBundle({ version: '9.0.0' }), {
      target: { tags: ['another-building'] },
    });
    const bytes = await bytesPerHour(t, fleet.announce(1, [rollout]));
    assert.ok(bytes > LIMITS.agentIdleBytesPerHourMax, `it keeps its heartbeat: ${bytes} an hour`);
    assert.ok(bytes <= LIMITS.agentWatchedBytesPerHourMax, `${bytes} bytes an hour`);
  });
});
