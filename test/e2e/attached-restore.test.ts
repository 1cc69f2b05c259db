/**
 * A broker attached to a stock mosquitto restores an announcement that a stranger changed, and
 * loses no event of a robot when it is killed.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { UPDATES_TOPIC } from '../../shared/formats/topics.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { connectStranger, openLossStage, ROLLOUT } from './loss-stage.ts';

const RETAINED = { retain: true, qos: 1 } as const;

describe('an attached broker and what is announced', () => {
  it('puts its own in the place of an announcement that was cleared, forged or rolled back', async (t) => {
    const stage = await openLossStage(t);
    if (!stage) return;
    const { engine, site } = stage;
    const held: { announcement: Buffer | null } = { announcement: null };
    const reader = await connectStranger(t, engine, (_, payload) => {
      held.announcement = Buffer.from(payload);
    });
    await reader.subscribe([UPDATES_TOPIC], 1);
    const older = await waitUntil('the first announcement', () => held.announcement);
    await site.publish(engine.url, await site.bundle('1.1.0'), '--supersede', ROLLOUT);
    const good = await waitUntil('the second', () =>
      held.announcement?.equals(older) === false ? held.announcement : null,
    );
    const start = { engine: engine.url, data: 'broker', leads: false };
    const broker = await AttachedChild.start(t, site, start);
    for (const [code, bad] of [
      ['ANNOUNCEMENT_INVALID', Buffer.alloc(0)],
      ['JSON_INVALID', randomBytes(100)],
      ['ANNOUNCEMENT_REPLAYED', older],
    ] as const) {
      await reader.send(UPDATES_TOPIC, bad, RETAINED);
      await broker.child.waitForOutput(new RegExp(code));
      await waitUntil(`${code}: ours again`, () => held.announcement?.equals(good) === true);
    }
  });

  it('has every event once, those of the time it was dead among them', async (t) => {
    const stage = await openLossStage(t);
    if (!stage) return;
    const { engine, site } = stage;
    const start = { engine: engine.url, data: 'broker', leads: false };
    const before = await AttachedChild.start(t, site, start);
    const robot = site.robot('r1', engine.url);
    await robot.runs('1.0.0');
    const first = await waitUntil('the first events', async () => {
      const events = await before.events('r1');
      return events.length > 3 ? events : null;
    });
    before.child.kill('SIGKILL');
    await before.child.exit;
    await site.publish(engine.url, await site.bundle('1.1.0'), '--supersede', ROLLOUT);
    await robot.runs('1.1.0');
    const after = await AttachedChild.start(t, site, start);
    const all = await waitUntil('the events of both', async () => {
      const events = await after.events('r1');
      return events.some((one) => one.event_seq > (first.at(-1)?.event_seq ?? 0) + 3)
        ? events
        : null;
    });
    const seqs = all.map((one) => one.event_seq);
    const from = seqs[0] as number;
    assert.deepEqual(
      seqs,
      seqs.map((_, at) => from + at),
      'no gap and no copy',
    );
    assert.equal(from, first[0]?.event_seq);
  });
});
