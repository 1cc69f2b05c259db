/** A round or two of each hard case; `npm run bench -- hard 100` runs many. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireBlockDevices } from '../helpers/block-device.ts';
import { seedOfRun } from '../helpers/run-seed.ts';
import { FAILING_DISK_PROGRAMS } from '../power/failing-disk.ts';
import { HardCampaign, type HardCase } from './hard-campaign.ts';

const ON_ANY_DISK: readonly HardCase[] = [
  'recover killed',
  'adoption killed',
  'two agents at one instant',
  'broker and agent killed at one instant',
  'agent stopped for longer than its keepalive',
];
const ON_OWN_DISK: readonly HardCase[] = [
  'disk full in mid-update',
  'disk read-only in mid-update',
  'disk refuses writes in mid-update',
  'disk dead in mid-update',
];

test('a robot boots a whole version and ends its update after each of the hard cases', async (t) => {
  const campaign = await HardCampaign.open(t);
  for (const name of ON_ANY_DISK) {
    assert.deepEqual(await campaign.round(t, name, seedOfRun()), []);
  }
});

test('a disk that turns full, read-only or dead, or refuses writes, leaves a robot that boots and reports it', async (t) => {
  if (!requireBlockDevices(t, FAILING_DISK_PROGRAMS, ['/dev/fuse'])) return;
  const campaign = await HardCampaign.open(t);
  for (const name of ON_OWN_DISK) {
    assert.deepEqual(await campaign.round(t, name, seedOfRun()), []);
  }
});
