/**
 * Every history of a set over two computers: cuts, lost and repeated messages, a computer that is
 * replaced. test/campaign has three computers, and messages that come late.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decideCommit,
  type Commit,
  type CommitFacts,
} from '../../../robot-client/members/commit.ts';
import { jointVerdict, type CommitDecision } from '../../../robot-client/update/joint-set.ts';
import { MEMBER_STEPS } from '../../../robot-client/update/member-steps.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { RolloutSet } from '../../../shared/formats/announcement.ts';
import { checkHistories } from './commit-walk.ts';

describe('a set over two computers, in every history', () => {
  it('is never confirmed on one and taken back on the other, and always comes to an end', () => {
    const found = checkHistories(2, { idsMax: 1, areLate: false, mayReplace: false });
    assert.ok(found.all > 1000 && found.confirmed > 0 && found.undone > 0, JSON.stringify(found));
  });

  it('ends when a computer was replaced by an empty one, which then catches up', () => {
    const found = checkHistories(2, {
      idsMax: 2,
      areLate: false,
      mayReplace: true,
      mayFail: false,
    });
    assert.ok(found.caughtUp > 0, JSON.stringify(found));
  });
});

const SET: RolloutSet = { id: 's' as RolloutSet['id'], members: [] };
const ID = 'a'.repeat(32);

describe('one step of the leader', () => {
  const facts = (more: Partial<CommitFacts['components'][number]>): CommitFacts => ({
    ...{ set: SET, isRecalled: false, openMs: 0, laggard: null },
    components: ['one', 'two'].map((component) => ({
      ...{ component, step: 'staged', commitId: null, awayMs: 0, canGoBack: true },
      ...(component === 'two' ? more : {}),
    })),
  });

  it('asks nobody while one is away, is bound to an older decision, or is not staged', () => {
    assert.equal(decideCommit(null, facts({}), ID)?.decision, 'prepare');
    assert.equal(decideCommit(null, facts({ awayMs: 1 }), ID), null);
    assert.equal(decideCommit(null, facts({ commitId: 'b'.repeat(32) }), ID), null);
    for (const step of MEMBER_STEPS) {
      const isAtRest = ['staged', 'done', 'had'].includes(step);
      assert.equal(decideCommit(null, facts({ step }), ID) !== null, isAtRest, step);
    }
  });

  it('asks the one that was busy in the last round first', () => {
    const asked = decideCommit(null, { ...facts({}), laggard: 'two' }, ID);
    assert.deepEqual(asked?.components, ['two', 'one']);
  });

  it('takes a confirmed set back when the fleet says so, all are there, and all can go back', () => {
    const all = (more: object): CommitFacts => {
      const { components, ...rest } = facts(more);
      return {
        ...rest,
        isRecalled: true,
        components: components.map((one) => ({ ...one, step: 'done' })),
      };
    };
    assert.equal(decideCommit(null, all({}), ID)?.decision, 'recall');
    assert.equal(decideCommit(null, all({ awayMs: 1 }), ID), null);
    assert.equal(decideCommit(null, all({ canGoBack: false }), ID), null);
  });

  it('goes back when one is away for long in the middle, and not before', () => {
    const known: Commit = { id: ID, set: SET, components: ['one', 'two'], decision: 'switch' };
    const away = (awayMs: number): CommitFacts => {
      const { components, ...rest } = facts({ awayMs });
      const bound = components.map((one) => ({ ...one, step: 'trial', commitId: ID }) as const);
      return { ...rest, components: bound };
    };
    assert.equal(decideCommit(known, away(LIMITS.memberAwayMs), ID), known);
    assert.equal(decideCommit(known, away(LIMITS.memberAwayMs + 1), ID)?.decision, 'back');
  });
});

describe('the rules of one component', () => {
  const decisions: readonly CommitDecision[] = ['unheard', 'prepare', 'switch', 'confirm', 'back'];
  const verdicts = ['go', 'back', 'wait'] as const;

  it('binds one that is prepared, or is healthy for good, to the decision alone', () => {
    for (const step of ['staged', 'sure'] as const) {
      for (const decision of decisions) {
        const found = verdicts.map((one) => jointVerdict({ step, commitId: ID }, one, decision));
        if (decision === 'unheard' || decision === 'prepare')
          assert.deepEqual(found, ['wait', 'wait', 'wait'], `${step} ${decision}`);
        if (step === 'sure') assert.equal(new Set(found).size, 1, `${step} ${decision}`);
        if (decision !== 'back') assert.ok(!found.includes('back'), `${step} ${decision}`);
      }
    }
  });

  it('never switches one that did not say that it is prepared', () => {
    for (const decision of decisions) {
      const found = jointVerdict({ step: 'staged', commitId: null }, 'go', decision);
      assert.equal(found, 'wait');
    }
  });
});
