/** A robot asks for a place, and uses the one that it got only while its lease lasts. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PlaceSeat } from '../../../robot-client/update/place-seat.ts';
import type { RobotId } from '../../../shared/base/ids.ts';
import { budgetSchema } from '../../../shared/formats/announcement.ts';
import type { Progress } from '../../../shared/formats/progress.ts';
import { placeClockProblem, placesLateProblem } from '../../../shared/rules/budget.ts';

const NOW = Date.parse('2026-06-01T00:00:00Z');
const fields = { at_most: 1, per: 'tag:hall', lease_s: 100 };
const budget = { ...budgetSchema.parse(fields), owner: 'x' };

class Stage {
  now = NOW;
  mono = 0;
  reports = 0;
  waits: (string | null)[] = [];
  isGranted = false;
  readonly ended = new AbortController();
  readonly seat = new PlaceSeat({
    facts: { robot: 'r1' as RobotId, tags: ['hall=A'] },
    now: () => this.now,
    mono: () => this.mono,
    onChange: () => (this.reports += 1),
  });

  /** It waits until it has a place. */
  async ask(): Promise<number> {
    const { signal } = this.ended;
    const onWaiting = (reason: string | null): number => this.waits.push(reason);
    const waiting = this.seat.untilGranted({ budget }, { signal, onWaiting });
    waiting.then(
      () => (this.isGranted = true),
      () => undefined, // the test has ended
    );
    await nextTurn();
    return this.seat.askedAtMs ?? assert.fail('nothing is asked');
  }

  /** @param times in ms from the start of the stage */
  async tell(asked: number, { issued = 0, until = 100_000, more = {} } = {}): Promise<void> {
    const place = { robot: 'r1', asked_at: asked, until: NOW + until };
    const told = { places: [place], issued_at: NOW + issued, expires_at: Infinity, recall: false };
    this.seat.hear(new Map([['x', { ...told, ...more } as unknown as Progress]]));
    await nextTurn();
  }
}

async function withStage(run: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = new Stage();
  try {
    await run(stage);
  } finally {
    stage.ended.abort(new Error('the test has ended'));
  }
}

describe('a robot of a rollout with a budget', () => {
  it('says what it waits for, shows its question, and goes when that is answered', () =>
    withStage(async (stage) => {
      const asked = await stage.ask();
      assert.ok(asked > NOW, 'later than every report from before');
      assert.match(stage.waits[0] ?? '', /a place in hall=A, where at most 1 robot is out/);
      assert.equal(stage.reports, 1);
      assert.equal(stage.seat.mayGo({ budget }), false);
      await stage.tell(asked);
      assert.ok(stage.isGranted);
      assert.ok(stage.seat.mayGo({ budget }));
      assert.equal(stage.waits.at(-1), null);
    }));

  it('takes no place of another question, of another robot, or of a rollout that goes back', () =>
    withStage(async (stage) => {
      const asked = await stage.ask();
      await stage.tell(asked - 1);
      await stage.tell(asked, { more: { recall: true } });
      await stage.tell(asked, { more: { places: [] } });
      assert.equal(stage.seat.mayGo({ budget }), false);
      assert.equal(stage.isGranted, false);
    }));

  it('does not begin when its lease is over by either clock', () =>
    withStage(async (stage) => {
      const asked = await stage.ask();
      await stage.tell(asked);
      stage.mono = 99_999;
      assert.ok(stage.seat.mayGo({ budget }));
      stage.mono = 100_000; // the wall clock stands still
      assert.equal(stage.seat.mayGo({ budget }), false);
      stage.mono = 0;
      stage.now = NOW + 100_000;
      assert.equal(stage.seat.mayGo({ budget }), false);
    }));

  it('counts from the first answer: the same one later makes no lease longer', () =>
    withStage(async (stage) => {
      const asked = await stage.ask();
      await stage.tell(asked);
      stage.mono = 60_000;
      await stage.tell(asked, { issued: 60_000, until: 160_000 });
      stage.mono = 100_000;
      assert.equal(stage.seat.mayGo({ budget }), false);
    }));

  it('asks again after it took its question back, and never twice the same', () =>
    withStage(async (stage) => {
      const asked = await stage.ask();
      await stage.tell(asked);
      stage.seat.takeBack();
      assert.equal(stage.seat.mayGo({ budget }), false, 'it became busy');
      assert.equal(stage.seat.askedAtMs, null);
      assert.ok((await stage.ask()) > asked);
      await stage.tell(asked);
      assert.equal(stage.seat.mayGo({ budget }), false);
    }));

  it('takes a place that was over before it came for none, and rests before it asks again', () =>
    withStage(async (stage) => {
      const asked = await stage.ask();
      stage.now = NOW + 100_000;
      await stage.tell(asked);
      assert.match(stage.waits.at(-1) ?? '', /was over before it was used/);
      assert.equal(stage.seat.askedAtMs, null);
    }));

  it('says that the lease is too short when a place in time was over before it was used', () =>
    withStage(async (stage) => {
      await stage.tell(await stage.ask());
      assert.equal(stage.isGranted, true);
      [stage.now, stage.mono] = [NOW + 101_000, 101_000]; // the ready hook took so long
      await stage.ask().catch(() => null);
      const wanted = /over before it was used \(it was kept for 100s: --place-lease of the rollout/;
      assert.match(stage.waits.at(-1) ?? '', wanted);
    }));

  it('names its clock when a place is over although its question is younger than the lease', () =>
    withStage(async (stage) => {
      const asked = await stage.ask();
      // The controller's clock is 300 s behind; its answer comes after 2 s.
      [stage.now, stage.mono] = [NOW + 2_000, 2_000];
      await stage.tell(asked, { issued: -298_000, until: -198_000 });
      assert.match(stage.waits.at(-1) ?? '', /over before it was used \(ROBOT_CLOCK_OFF\)$/);
      assert.equal(stage.seat.clock?.problem.code, 'ROBOT_CLOCK_OFF');
      assert.match(stage.seat.clock.problem.message, /at least 4m ahead of the controller/);
      assert.equal(stage.seat.clock.atMs, NOW + 2_000);
      assert.equal(stage.seat.mayGo({ budget }), false, 'its clock was not proven to be right');
      stage.seat.follow('idle');
      assert.equal(stage.seat.clock, null);
    }));

  it('does not blame its clock for a place that came late, nor after a clock that jumped', () =>
    withStage(async (stage) => {
      const asked = await stage.ask();
      [stage.now, stage.mono] = [NOW + 101_000, 100_000];
      await stage.tell(asked);
      assert.match(stage.waits.at(-1) ?? '', /over before it was used$/);
      assert.equal(stage.seat.clock, null);
      const lease = { untilMs: NOW + 100_000, leftMs: 100_000 };
      const from = { now: NOW, mono: 0 };
      const jumped = { now: NOW + 300_000, mono: 2_000 };
      assert.equal(placeClockProblem(lease, from, jumped), null);
      const slept = { now: NOW + 100_000, mono: 2_000 };
      assert.equal(placeClockProblem(lease, from, slept), null);
      assert.equal(placeClockProblem(lease, from, { now: NOW + 50_000, mono: 50_000 }), null);
      assert.equal(placesLateProblem(1), null);
      assert.match(placesLateProblem(2)?.message ?? '', /2 places in a row were over before/);
    }));

  it('asks for nothing without a budget', () => {
    const { seat } = new Stage();
    assert.ok(seat.mayGo({ budget: null }));
    assert.equal(seat.askedAtMs, null);
  });
});
