/** A robot whose broker forgot to whom it delivers: the link is up, and nothing comes over it. */

import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { Agent } from '../../../robot-client/agent.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { parseRobotId } from '../../../shared/base/ids.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { UPDATES_TOPIC } from '../../../shared/formats/topics.ts';
import { makeFleet } from '../../helpers/fleet.ts';
import { SimulatedClock } from '../../helpers/simulated-clock.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { SoakBroker } from '../soak-broker.ts';

const MINUTE = 60_000;

it('takes an order that was never delivered to it when it asks anew, within 150 minutes', async (t) => {
  const root = await tempFolder(t);
  await mkdir(join(root, 'releases/1.0.0'), { recursive: true });
  await symlink('releases/1.0.0', join(root, 'active'));
  const fleet = makeFleet();
  const bundle = await fleet.makeBundle({ version: '1.1.0' });
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
  const restoreClock = clock.install();
  try {
    await agent.open();
    await clock.pass(MINUTE);
    broker.keepChunks(bundle.chunks);
    broker.retain(UPDATES_TOPIC, fleet.announce(1, [fleet.makeRollout('app-1-1-0', bundle)]), {
      isHeard: false,
    });
    await clock.pass(80 * MINUTE);
    assert.equal(version(), '1.0.0', 'nobody has told it yet');
    await clock.until('the new version', () => version() === '1.1.0', LIMITS.ordersLookMs);
  } finally {
    const closed = agent.close();
    await clock.settle();
    restoreClock();
    await closed;
  }
});
