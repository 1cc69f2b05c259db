/** A robot connects late to an engine that sends nothing retained to a filter with `+` in it. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { it } from 'node:test';
import { parseRolloutId } from '../../shared/base/ids.ts';
import { progressTopic } from '../../shared/formats/topics.ts';
import { makeLog } from '../../shared/io/cli.ts';
import { connectWire } from '../../shared/io/mqtt-wire.ts';
import { startLameEngine } from '../helpers/lame-engine.ts';
import { progressNow } from '../helpers/sign-now.ts';
import { Site, type ComponentStatus } from './site.ts';

const ROLLOUT = 'app-1-1-0';

async function tell(site: Site, url: string, status: 'paused' | 'rolling', seq: number) {
  const [now, hour] = [Date.now(), 3_600_000];
  const bytes = progressNow(
    {
      ...{ fleet: 'test', rollout: ROLLOUT, seq, wave: 1, threshold: 1, status },
      issued_at: new Date(now).toISOString(),
      expires_at: new Date(now + hour).toISOString(),
    },
    [new Uint8Array(await readFile(site.path('rollout.key')))],
  );
  const quiet = { onMessage: () => {} };
  const wire = await connectWire({ url, clientId: 'controller' }, quiet, makeLog('test', 'silent'));
  await wire.send(progressTopic(parseRolloutId(ROLLOUT)), bytes, { retain: true, qos: 1 });
  await wire.close();
}

it('still learns that a rollout was stopped, and takes nothing of it until it goes on', async (t) => {
  const { url } = await startLameEngine(t, { retainsForWildcards: false });
  const site = await Site.open(t);
  await site.publish(url, await site.bundle('1.1.0'), '--id', ROLLOUT, '--waves', '100');
  await tell(site, url, 'paused', 1);
  const robot = site.robot('r1', url);
  const isTold = ({ waiting_for }: ComponentStatus) => /paused/.test(waiting_for ?? '');
  const held = await robot.until('told why', isTold);
  assert.equal(held.version, null);
  await tell(site, url, 'rolling', 2);
  await robot.runs('1.1.0');
});
