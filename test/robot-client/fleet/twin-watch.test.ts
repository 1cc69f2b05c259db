/** A robot reports that another one uses its id, and stops reporting it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TwinWatch } from '../../../robot-client/fleet/twin-watch.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { DroverError } from '../../../shared/base/errors.ts';
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

test('a link that cannot be made is logged at once with its reason, and then seldom', () => {
  let now = 0;
  const lines: string[] = [];
  const warn = (facts: object): void => void lines.push(JSON.stringify(facts));
  const watch = new TwinWatch(
    { ...QUIET, warn },
    () => 0,
    () => now,
  );
  const wrongCa = new DroverError('BROKER_UNREACHABLE', 'reach broker: not trusted here', {
    hint: 'give --ca FILE',
  });
  for (let attempt = 0; attempt < 100; attempt += 1) watch.failed(wrongCa);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /not trusted here.*--ca FILE/);
  watch.failed(new DroverError('CERTIFICATE_REFUSED', 'connect: no'));
  assert.equal(lines.length, 2, 'another reason is news');
  now += LIMITS.linkFailureLogMs;
  watch.failed(wrongCa);
  assert.match(lines[2] ?? '', /"withheld":99/);
});
