/** The trials of the demo's robots: a power cut in mid-transfer, and a forged announcement. */

import { randomBytes } from 'node:crypto';
import { signAnnouncement } from '../../shared/formats/announcement.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { LIMITS } from '../../shared/base/limits.ts';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import type { Started } from './processes.ts';
import { ROBOTS, SLOW_ROBOT, type Carrier, type World } from './world.ts';
import { seedSigner } from '../../shared/crypto/ed25519.ts';

interface Transfer {
  readonly bytes_done: number;
  readonly bytes_total: number;
  readonly chunks_fetched: number;
}

const LOOK_MS = 50;
const LOOKS_MAX = 600;

/** The slow robot's download, once it is in the state that is waited for. */
async function transferWhen(world: World, holds: (t: Transfer) => boolean): Promise<Transfer> {
  for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
    try {
      const status = await world.askRobot(SLOW_ROBOT, 'GET', '/status');
      const { components } = status as {
        components: { phase: string; transfer: Transfer | null }[];
      };
      const [component] = components;
      const transfer = component?.phase === 'downloading' ? component.transfer : null;
      if (transfer && holds(transfer)) return transfer;
    } catch {
      // between a kill and a start nobody listens
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Error(`${SLOW_ROBOT}: its download was never seen in that state`);
}

const percent = (t: Transfer): number => Math.round((100 * t.bytes_done) / t.bytes_total);

export async function cutAndResume(world: World, carrier: Carrier, slow: Started): Promise<void> {
  const before = await transferWhen(world, (t) => t.bytes_done > 0.3 * t.bytes_total);
  await world.processes.kill(slow.child, 'SIGKILL');
  console.log(`    ${SLOW_ROBOT}  killed with SIGKILL at ${percent(before)} %`);
  await world.startRobot(carrier, SLOW_ROBOT);
  const after = await transferWhen(world, () => true);
  const kept = after.bytes_done - after.chunks_fetched * LIMITS.chunkBytesDefault;
  const what = `${SLOW_ROBOT} went on at ${percent(after)} %: nothing verified is fetched again`;
  world.check(what, kept >= before.bytes_done);
}

/** Somebody has a publisher's password, but no rollout key. */
export async function refuseForgery(world: World, carrier: Carrier): Promise<void> {
  world.title('A forged announcement, signed by a stranger, sent with a stolen publisher password');
  const password = carrier.tokens.get('ci') ?? '';
  const wire = await connectWire(
    { url: carrier.mqttUrl, clientId: 'forger', username: 'ci', password },
    { onMessage: () => {} },
    makeLog('demo', 'silent'),
  );
  const now = Date.now();
  const forged = await signAnnouncement(
    {
      fleet: 'demo',
      seq: now,
      issued_at: new Date(now).toISOString(),
      expires_at: new Date(now + LIMITS.announcementLifeMsDefault).toISOString(),
      rollouts: [],
    },
    [seedSigner(new Uint8Array(randomBytes(32)))],
  );
  await wire.send(UPDATES_TOPIC, forged, { retain: true, qos: 1 });
  await wire.close();
  const code = 'ENVELOPE_KEY_UNKNOWN';
  const { watch } = carrier;
  const refused = () => ROBOTS.every((id) => watch.row(id)?.last_error?.code === code);
  await watch.until('every robot refuses it', refused);
  world.check(
    `all five robots refused it (${code}) and run what they ran`,
    watch.row('r1')?.version === '1.1.0',
  );
}
