/**
 * A bundle crosses the cable of each site once, however many robots wait there. The measure at full
 * size (100 MiB, 20 robots on each site) is `npm run bench -- uplink`.
 */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { requirePeer } from '../helpers/peer.ts';
import { runUplink } from './uplink-stage.ts';

const RATIO_MAX = 1.05;

it('two sites behind relays take a bundle over their cables at most 1.05 times', async (t) => {
  if (requirePeer(t, 'ip') === null) return;
  if (process.getuid?.() !== 0 && process.env['CI'] !== 'true') {
    return t.skip('network namespaces need root');
  }
  const run = await runUplink(t, { mebibytes: 12, robotsPerSite: 4, timeoutMs: 90_000 });
  assert.ok(run.ratio <= RATIO_MAX, JSON.stringify(run));
  assert.ok(run.ratio >= 1, `less than the bundle itself: ${JSON.stringify(run)}`);
});
