/** A robot whose broker lost its subscriptions: the link is up, and no message comes over it. */

import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Agent } from '../../../robot-client/agent.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { parseRobotId, parseRolloutId } from '../../../shared/base/ids.ts';
import { progressTopic, UPDATES_TOPIC } from '../../../shared/formats/topics.ts';
import { makeFleet, type TestFleet } from '../../helpers/fleet.ts';
import { SimulatedClock } from '../../helpers/simulated-clock.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { SoakBroker } from '../soak-broker.ts';

const MINUTE = 60_000;

interface Stage {
  readonly fleet: TestFleet;
  readonly broker: SoakBroker;
  readonly clock: SimulatedClock;
  version(): string | null | undefined;
  announce(seq: number, version: string, more?: { isHeard: boolean }): Promise<void>;
}

async function onStage(t: TestContext, play: (stage: Stage) => Promise<void>): Promise<void> {
  const root = await tempFolder(t);
  await mkdir(join(root, 'releases/1.0.0'), { recursive: true });
  await symlink('releases/1.0.0', join(root, 'active'));
  const fleet = makeFleet();
  const broker = new SoakBroker();
  const clock = new SimulatedClock(Date.parse('2026-06-01T00:00:00Z'));
  const agent = new Agent({
    ...{ robot: parseRobotId('r1'), trust: fleet.trust, arch: 'aarch64', model: 'test', tags: [] },
    ...{ bytesPerSecondMax: null, bootsMax: 3, adoptVersion: '0.0.0', disk: realDisk },
    roots: [{ component: 'app', root }],
    hooksFolder: join(root, 'hooks'),
    healthWatchMs: 0,
    link: { url: 'mqtt://deaf' },
    openWire: broker.openWire,
    log: makeLog('test', 'silent'),
  });
  const version = (): string | null | undefined => agent.components.all[0]?.view.version;
  const announce: Stage['announce'] = async (seq, to, more) => {
    const bundle = await fleet.makeBundle({ version: to });
    broker.keepChunks(bundle.chunks);
    const rollout = fleet.makeRollout(`app-${to.replaceAll('.', '-')}`, bundle);
    broker.retain(UPDATES_TOPIC, fleet.announce(seq, [rollout]), more);
  };
  const restoreClock = clock.install();
  try {
    await agent.open();
    await clock.pass(MINUTE);
    await play({ fleet, broker, clock, version, announce });
  } finally {
    const closed = agent.close();
    await clock.settle();
    restoreClock();
    await closed;
  }
}

describe('a robot whose broker does not deliver', () => {
  it('takes an order when it subscribes again, within 150 minutes while no rollout runs', async (t) => {
    await onStage(t, async ({ clock, version, announce }) => {
      await announce(1, '1.1.0', { isHeard: false });
      await clock.pass(80 * MINUTE);
      assert.equal(version(), '1.0.0', 'the order has not arrived yet');
      await clock.until('the new version', () => version() === '1.1.0', 75 * MINUTE);
    });
  });

  it('takes a recall within 19 minutes for a day after its update, and asks as before then', async (t) => {
    await onStage(t, async ({ fleet, broker, clock, version, announce }) => {
      await announce(1, '1.1.0');
      await clock.until('the new version', () => version() === '1.1.0', 5 * MINUTE);
      const rollout = 'app-1-1-0';
      const fields = { rollout, threshold: 1 };
      broker.retain(
        progressTopic(parseRolloutId(rollout)),
        fleet.progress({ ...fields, seq: 2, status: 'complete' }),
      );
      await clock.pass(60 * MINUTE);
      const recall = fleet.progress({ ...fields, seq: 3, status: 'halted', recall: true });
      broker.retain(progressTopic(parseRolloutId(rollout)), recall, { isHeard: false });
      await clock.until('the old version', () => version() === '1.0.0', 20 * MINUTE);
    });
  });
});

describe('a robot whose message that it is online was cleared by another client', () => {
  it('sends it again within twenty minutes, and for the last time before it goes offline', async (t) => {
    const online = 'fleet/robots/r1/online';
    const said = (bytes: Uint8Array | undefined): unknown =>
      bytes && (JSON.parse(new TextDecoder().decode(bytes)) as { online: boolean }).online;
    const at = { theEnd: (): unknown => null };
    await onStage(t, async ({ broker, clock }) => {
      assert.equal(said(broker.retained(online)), true);
      broker.forget(online);
      const isThere = (): boolean => broker.retained(online) !== undefined;
      await clock.until('the robot to say it', isThere, 20 * MINUTE);
      const sent = broker.taken.get('online') ?? 0;
      await clock.pass(60 * MINUTE);
      assert.ok((broker.taken.get('online') ?? 0) - sent <= 7, 'once in ten minutes at most');
      at.theEnd = () => said(broker.retained(online));
    });
    assert.equal(at.theEnd(), false);
  });
});
