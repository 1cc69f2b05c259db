/** A robot reports that another one uses its id, and stops reporting it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TwinWatch } from '../../../robot-client/fleet/twin-watch.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { Log } from '../../../shared/base/ports.ts';

const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };

test('a robot whose links end soon says so until one has lasted', () => {
  let now = 0;
  let count = 0;
  const watch = new TwinWatch(
    QUIET,
    () => count,
    () => now,
  );
  watch.up('mqtt://broker');
  for (let link = 1; link <= LIMITS.endingsOfTwins; link += 1) {
    count = link;
    watch.down('closed');
    assert.equal(watch.endings, link < LIMITS.endingsOfTwins ? 0 : link);
    watch.up('mqtt://broker');
  }
  now += LIMITS.endedLateMs - 1;
  assert.equal(watch.endings, count, 'a twin that waits its minute may still come');
  now += 1;
  assert.equal(watch.endings, 0, 'twins would have ended this link');
});
