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
import { CommitBook } from '../../../robot-client/members/commit-book.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { decideLost } from '../../../robot-client/members/lost-commit.ts';
import { jointVerdict, type CommitDecision } from '../../../robot-client/update/joint-set.ts';
import { MEMBER_STEPS, type MemberStep } from '../../../robot-client/update/member-steps.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { RolloutSet } from '../../../shared/formats/announcement.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { checkHistories } from './commit-walk.ts';

describe('a set over two computers, in every history', () => {
  it('is never confirmed on one and taken back on the other, and always comes to an end', () => {
    const found = checkHistories(2, { idsMax: 1, areLate: false, mayReplace: false });
    assert.ok(found.all > 1000 && found.confirmed > 0 && found.undone > 0, JSON.stringify(found));
  });

  it('holds when one is the computer of the leader, whose parts act before its record is read', () => {
    const rules = { idsMax: 1, areLate: false, mayReplace: false, leads: true };
    const found = checkHistories(2, rules);
    assert.ok(found.confirmed > 0 && found.undone > 0, JSON.stringify(found));
  });

  it('holds when the record of the leader is lost, or a root cannot be read for a while', () => {
    const rules = { idsMax: 1, areLate: false, mayReplace: false, leads: true };
    const lost = checkHistories(2, { ...rules, mayLose: true });
    assert.ok(lost.confirmed > 0 && lost.undone > 0, JSON.stringify(lost));
    const hidden = checkHistories(2, { ...rules, mayHide: true });
    assert.ok(hidden.confirmed > 0 && hidden.undone > 0, JSON.stringify(hidden));
  });

  it('holds when the leader starts without the pair file of a computer, and has it again later', () => {
    const rules = { idsMax: 1, areLate: false, mayReplace: false, leads: true };
    const found = checkHistories(2, { ...rules, mayLeaveOut: true });
    assert.ok(found.confirmed > 0 && found.undone > 0, JSON.stringify(found));
    const lost = checkHistories(2, { ...rules, mayLeaveOut: true, mayLose: true });
    assert.ok(lost.confirmed > 0 && lost.undone > 0, JSON.stringify(lost));
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
    ...{ set: SET, isRecalled: false, stopped: null, openMs: 0, laggard: null },
    components: ['one', 'two'].map((component) => ({
      ...{ component, step: 'staged', commitId: null, awayMs: 0, canGoBack: true },
      ...{ confirmedBy: null, isCurrent: true, code: null },
      ...(component === 'two' ? more : {}),
    })),
  });

  it('asks no component while one is away, is bound to an older decision, or is not staged', () => {
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

  it('switches nothing that the fleet has stopped, and names that when it had been switched', () => {
    const stopped = 'called back by the fleet: too many failed';
    assert.equal(decideCommit(null, { ...facts({}), stopped }, ID), null);
    const known: Commit = { id: ID, set: SET, components: ['one', 'two'], decision: 'prepare' };
    const { components, ...rest } = facts({});
    const bound = components.map((one) => ({ ...one, commitId: ID }));
    assert.equal(decideCommit(known, { ...rest, components: bound, stopped }, ID), null);
    assert.equal(decideCommit(known, { ...rest, components: bound }, ID)?.decision, 'switch');
    const switched = { ...known, decision: 'switch' } as const;
    const back = decideCommit(
      switched,
      { ...rest, components: bound, stopped, isRecalled: true },
      ID,
    );
    assert.deepEqual([back?.decision, back?.cause], ['back', stopped]);
  });

  it('names the component that failed, with its code, or the one whose computer was away', () => {
    const known: Commit = { id: ID, set: SET, components: ['one', 'two'], decision: 'switch' };
    const cause = (more: Parameters<typeof facts>[0]): string | undefined => {
      const { components, ...rest } = facts({});
      const [one, two] = components.map(
        (part) => ({ ...part, step: 'trial', commitId: ID }) as const,
      );
      return decideCommit(known, { ...rest, components: [one!, { ...two!, ...more }] }, ID)?.cause;
    };
    assert.equal(
      cause({ step: 'undoing', code: 'HEALTH_FAILED' }),
      'two goes back (HEALTH_FAILED)',
    );
    assert.match(cause({ awayMs: LIMITS.memberAwayMs + 1 }) ?? '', /computer of two was away/);
  });

  it('keeps what it decided while a bound component is one that it does not see', () => {
    for (const step of ['unknown', 'missing'] as const) {
      for (const decision of ['switch', 'confirm', 'back', 'recall'] as const) {
        const known: Commit = { id: ID, set: SET, components: ['one', 'two'], decision };
        const { components, ...rest } = facts({ step });
        const [one, two] = components;
        const bound = { ...one!, step: 'trial', commitId: ID } as const;
        const found = decideCommit(known, { ...rest, components: [bound, two!] }, ID);
        assert.equal(found, known, `${decision}: ${step}`);
      }
    }
  });

  it('confirms what a component has confirmed by this id, whatever its record says of it', () => {
    const known: Commit = { id: ID, set: SET, components: ['one', 'two'], decision: 'switch' };
    const { components, ...rest } = facts({ step: 'done', confirmedBy: ID });
    const bound = components.map((one) => ({ ...one, commitId: one.confirmedBy ? null : ID }));
    const asked = { ...rest, components: bound };
    assert.equal(decideCommit(known, asked, ID)?.decision, 'confirm');
    const isAway = bound.map((one) => ({ ...one, awayMs: LIMITS.memberAwayMs + 1 }));
    const late = { ...asked, components: isAway, isRecalled: true };
    assert.equal(decideCommit(known, late, ID)?.decision, 'confirm');
  });

  it('frees all of a lost decision when none was switched, and is sure of none that it does not see', () => {
    const lost = (step: MemberStep, more: Parameters<typeof facts>[0]) => {
      const [one, two] = facts(more).components;
      return decideLost(ID, SET, [{ ...one!, step, commitId: ID }, two!])?.decision;
    };
    assert.equal(lost('staged', { commitId: ID }), 'back');
    assert.equal(lost('trial', { commitId: ID }), 'switch');
    assert.equal(lost('trial', { step: 'pending' }), 'back');
    for (const step of ['unknown', 'missing'] as const)
      assert.equal(lost('trial', { step }), undefined);
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

describe('the rounds of questions of the leader', () => {
  it('asks the one first that was late, and blames none when the fleet has ended the round', async (t) => {
    const book = new CommitBook(realDisk, await tempFolder(t));
    await book.load();
    const step = async (prepared: boolean, now: number, stopped: string | null = null) => {
      const commitId = prepared ? (book.told?.commits[0]?.id ?? null) : null;
      const components = ['one', 'two'].map((component) => ({
        ...{ component, step: 'staged' as const, awayMs: 0, canGoBack: true, code: null },
        ...{ confirmedBy: null, isCurrent: true },
        commitId: component === 'one' ? commitId : null,
      }));
      await book.step([SET], () => ({ components, isRecalled: false, stopped }), now);
      return book.told?.commits[0]?.components;
    };
    assert.deepEqual(await step(false, 0), ['one', 'two']);
    await step(true, 1); // now it asks two
    assert.equal(await step(true, 2, 'paused'), undefined);
    assert.deepEqual(await step(false, 3), ['one', 'two']);
    await step(true, 4);
    assert.equal(await step(true, 5 + LIMITS.prepareMs), undefined);
    assert.deepEqual(await step(false, 6 + LIMITS.prepareMs), ['two', 'one']);
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
