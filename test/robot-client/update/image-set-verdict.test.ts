/** The verdict about a set with a system image, in every combination of two and three components. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decideImageSet,
  isImageAtWork,
  mayAskReady,
  mayBootImage,
} from '../../../robot-client/update/image-set-verdict.ts';
import { MEMBER_STEPS, type MemberStep } from '../../../robot-client/update/member-steps.ts';

type Steps = readonly MemberStep[];

function* combinations(count: number): Generator<Steps> {
  if (count === 0) return yield [];
  for (const rest of combinations(count - 1)) {
    for (const one of MEMBER_STEPS) yield [...rest, one];
  }
}

interface Asked {
  readonly steps: Steps;
  readonly image: number;
  readonly at: number;
}

const ALL: readonly Asked[] = [...combinations(2), ...combinations(3)].flatMap((steps) =>
  [...steps.keys()].flatMap((image) => [...steps.keys()].map((at) => ({ steps, image, at }))),
);
const each = (check: (one: Asked, own: MemberStep, said: string) => void): void => {
  for (const one of ALL) {
    const own = one.steps[one.at] ?? 'missing';
    check(one, own, `${one.steps.join(' ')} at ${one.at}, image ${one.image}`);
  }
};
const others = ({ steps, at }: Asked): Steps => steps.filter((_, nth) => nth !== at);
const verdict = ({ steps, at, image }: Asked) => decideImageSet(steps, at, image);

const ON_ITS_WAY_BACK: Steps = ['undoing', 'stuck', 'undone', 'undone_for_good'];
const BEHIND: Steps = ['missing', 'unknown', 'pending', 'failed', ...ON_ITS_WAY_BACK];

describe('the verdict about a set with a system image', () => {
  it('stops a component only when every other is staged or further', () => {
    each((one, own, said) => {
      if (own !== 'staged' || verdict(one) !== 'go') return;
      assert.ok(!others(one).some((other) => BEHIND.includes(other)), said);
    });
  });

  it('lets the image go only when all others are stopped, or ran before', () => {
    each((one, own, said) => {
      if (one.at !== one.image || own !== 'staged' || verdict(one) !== 'go') return;
      for (const other of others(one)) assert.ok(!['staged', 'switching'].includes(other), said);
      assert.equal(mayBootImage(one.steps, one.image), 'may', said);
    });
  });

  it('boots no image beside a component that runs its former release or goes back', () => {
    each(({ steps, image, at }, _, said) => {
      if (at !== image || mayBootImage(steps, image) !== 'may') return;
      const beside = steps.filter((_step, nth) => nth !== image);
      const bad = [...BEHIND, 'staged', 'switching'];
      assert.ok(!beside.some((one) => bad.includes(one)), said);
    });
  });

  it('confirms the image first, and each only when every other is sure', () => {
    each((one, own, said) => {
      if (own !== 'sure' || verdict(one) !== 'go') return;
      const sure = ['sure', 'done', 'had'];
      for (const other of others(one)) assert.ok(sure.includes(other), said);
      if (one.at === one.image) return;
      assert.ok(['done', 'had'].includes(one.steps[one.image] ?? 'missing'), said);
    });
  });

  it('takes back what was stopped or switched as soon as another goes back', () => {
    each((one, own, said) => {
      if (!others(one).some((other) => ON_ITS_WAY_BACK.includes(other))) return;
      const isSwitching = own === 'switching' && one.at === one.image;
      const goes = ['parked', 'trial', 'well', 'sure', 'done'].includes(own) || isSwitching;
      if (goes) assert.equal(verdict(one), 'back', said);
    });
  });

  it('never says go and back about two components of one set', () => {
    for (const { steps, image } of ALL) {
      const verdicts = [...steps.keys()].map((at) => decideImageSet(steps, at, image));
      assert.ok(!(verdicts.includes('go') && verdicts.includes('back')), steps.join(' '));
    }
  });

  it('lets at most one component stop at a time', () => {
    for (const { steps, image } of ALL) {
      const may = [...steps.keys()].filter(
        (at) => steps[at] === 'staged' && decideImageSet(steps, at, image) === 'go',
      );
      assert.ok(may.length <= 1, steps.join(' '));
    }
  });

  it('never leaves all of them waiting while one could go on', () => {
    for (const { steps, image, at } of ALL) {
      if (at !== image) continue;
      const beside = steps.filter((_, nth) => nth !== image);
      const own = steps[image] ?? 'missing';
      const isStopping =
        own === 'staged' && beside.every((one) => ['staged', 'parked', 'had'].includes(one));
      const isProbation = ['well', 'sure', 'done'].includes(own);
      const isConfirming =
        isProbation && beside.every((one) => ['well', 'sure', 'done', 'had'].includes(one));
      const isOver = steps.every((one) => one === 'done' || one === 'had');
      // A start asks for the health of a component again: a confirmed image waits for it.
      if (!(isStopping || isConfirming) || isOver) continue;
      const verdicts = [...steps.keys()].map((nth) => decideImageSet(steps, nth, image));
      assert.ok(verdicts.includes('go'), `${steps.join(' ')}, image ${image}`);
    }
  });

  it('asks whether components are ready only while none of them can fail the set', () => {
    each(({ steps, at }, _, said) => {
      if (!mayAskReady(steps, at)) return;
      const beside = steps.filter((_step, nth) => nth !== at);
      assert.ok(!beside.some((one) => BEHIND.includes(one)), said);
    });
  });

  it('lets a component end its way back only when the image can boot no more', () => {
    const open = MEMBER_STEPS.filter(isImageAtWork);
    assert.deepEqual(
      MEMBER_STEPS.filter((one) => !open.includes(one)),
      [
        ...['missing', 'pending', 'failed', 'undone', 'undone_for_good', 'staged', 'parked'],
        ...['had'],
      ],
    );
  });
});
