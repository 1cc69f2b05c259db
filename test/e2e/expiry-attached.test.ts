/**
 * The days that trust.json and what is announced still hold, on a broker attached to mosquitto and
 * under clocks that run ahead.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { withClock } from '../helpers/faketime.ts';
import { startMosquitto, type Mosquitto } from '../helpers/mosquitto.ts';
import { requirePeer } from '../helpers/peer.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { Site } from './site.ts';

interface Health {
  readonly healthy: boolean;
  readonly expires: {
    readonly trust: { readonly days_left: number };
    /** Null until an announcement arrived. */
    readonly announcement: {
      readonly days_left: number;
      readonly seq: number;
      readonly renews: boolean;
    } | null;
    readonly problems: readonly { readonly code: string }[];
  };
}

/** trust.json ends in 70 days, what is announced in 12. */
async function openStage(t: TestContext): Promise<[Site, Mosquitto] | null> {
  if (requirePeer(t, 'faketime') === null) return null;
  const engine = await startMosquitto(t);
  if (!engine) return null;
  const site = await Site.open(t, ['--expires', '70d']);
  await site.publish(engine.url, await site.bundle('1.0.0'), '--expires', '12d');
  return [site, engine];
}

const codesOf = ({ expires }: Health): string[] => expires.problems.map(({ code }) => code);

async function secondsLeft(broker: AttachedChild, what: string): Promise<number> {
  const metrics = await broker.metrics();
  return Number(new RegExp(`^drover_${what}_expires_seconds (-?\\d+)$`, 'm').exec(metrics)?.[1]);
}

/** The health of the broker once it has the messages that mosquitto retains. */
async function healthOf(broker: AttachedChild) {
  return await waitUntil(
    'the announcement to be known',
    async () => {
      const health = await broker.get<Health>('/healthz');
      const { announcement } = health.expires;
      return announcement && { ...health, announcement };
    },
    { look: () => broker.child.describe() },
  );
}

describe('a broker attached to mosquitto', () => {
  it('tells in time what expires, says so at its start, and announces again when it leads', async (t) => {
    const stage = await openStage(t);
    if (!stage) return;
    const [site, engine] = stage;
    const at = { engine: engine.url, leads: false };
    const start = (data: string, days: number, leads = false): Promise<AttachedChild> =>
      AttachedChild.start(t, site, { ...at, data, leads, clock: withClock(`+${days}d`) });
    const [close, over] = await Promise.all([start('close', 10), start('over', 71)]);

    const seen = await healthOf(close);
    const { seq } = seen.announcement;
    assert.equal(seen.healthy, true, 'a warning is no outage');
    assert.deepEqual(
      [seen.expires.trust.days_left, seen.announcement.days_left, codesOf(seen)],
      [60, 2, ['TRUST_EXPIRING', 'ANNOUNCEMENT_EXPIRING']],
    );
    const days = async (what: string): Promise<number> =>
      Math.floor((await secondsLeft(close, what)) / 86_400);
    assert.deepEqual([await days('trust'), await days('announcement')], [59, 1]);
    const list = await site.drover('rollout', 'list', '--api', close.url);
    assert.match(list, /announced until \S+, 2 days left$/m);
    assert.match(list, /trust\.json until \S+, 60 days left$/m);
    assert.match(list, /TRUST_EXPIRING: .*drover trust rotate/);
    assert.match(list, /ANNOUNCEMENT_EXPIRING: .*no controller here announces it again/);

    // Before it serves anybody; what is announced has expired as well: told, and not taken over.
    for (const code of ['TRUST_EXPIRED', 'ANNOUNCEMENT_EXPIRED']) {
      await over.child.waitForOutput(new RegExp(`"code":"${code}"`));
    }
    const both = ['TRUST_EXPIRED', 'ANNOUNCEMENT_EXPIRED'];
    await waitUntil(
      'both to stand in /healthz',
      async () => codesOf(await over.get<Health>('/healthz')).join() === both.join(),
      { look: () => over.child.describe() },
    );
    assert.ok((await secondsLeft(over, 'trust')) < 0);

    const leader = await start('leader', 10, true);
    const again = await waitUntil(
      'it to announce again',
      async () => {
        const { announcement } = (await leader.get<Health>('/healthz')).expires;
        return announcement && announcement.days_left > 2 ? announcement : null;
      },
      { timeoutMs: 60_000, look: () => leader.child.describe() },
    );
    assert.deepEqual([again.days_left, again.renews, again.seq], [12, true, seq + 1]);
  });
});
