/** A recall of a rollout, and one that is complete when a robot comes late. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { describeRecall, halfWay } from './recall.ts';

describeRecall();

describe('a robot that comes when the rollout is complete', () => {
  it('waits for a moment of its own, which a restart does not put off [P-6.6]', async (t) => {
    const { stage, robots } = await halfWay(t);
    const late = robots[2];
    await late.kill();
    await stage.progress({ status: 'complete', threshold: 1 });
    late.start();
    const waiting = await late.until('waits for its moment', (s) => s.wake_at !== null);
    assert.match(waiting.waiting_for ?? '', /robots that come late start one by one, this one at /);
    assert.equal(waiting.version, '1.0.0');
    const seen = await readFile(join(late.root, 'state/seen.json'), 'utf8');
    await late.killAndRestart();
    const again = await late.until('waits again', (s) => s.wake_at !== null);
    assert.equal(again.wake_at, waiting.wake_at, 'a restart does not start the wait anew');
    const complete = (text: string) =>
      (JSON.parse(text) as { completeSince: object }).completeSince;
    const kept = await readFile(join(late.root, 'state/seen.json'), 'utf8');
    assert.deepEqual(complete(kept), complete(seen));
  });
});
