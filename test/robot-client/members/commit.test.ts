/**
 * Every history of a set over two computers: cuts, lost and repeated messages, a computer that is
 * replaced. test/campaign has three computers, and messages that come late.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decideCommit,
  isKeptForGone,
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

  it('holds when a person declares a computer gone for good that comes back all the same', () => {
    const rules = { idsMax: 1, areLate: false, mayReplace: false, leads: true, mayBeGone: true };
    const found = checkHistories(2, rules);
    assert.ok(found.confirmed > 0 && found.undone > 0, JSON.stringify(found));
    const hidden = checkHistories(2, { ...rules, mayLeaveOut: true });
    assert.ok(hidden.confirmed > 0 && hidden.undone > 0, JSON.stringify(hidden));
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

  it('keeps a confirmation for a disk that refused it, and a recall never', () => {
    const unkept = { step: 'done', confirmedBy: ID, isUnkept: true } as const;
    const known: Commit = { id: ID, set: SET, components: ['one', 'two'], decision: 'confirm' };
    const [one, two] = facts(unkept).components;
    const components = [{ ...one!, step: 'done', confirmedBy: ID } as const, two!];
    const on = { ...facts({}), components };
    assert.equal(decideCommit(known, on, ID), known);
    assert.equal(decideCommit(known, { ...on, isRecalled: true }, ID), null);
    assert.equal(decideCommit(null, { ...on, isRecalled: true }, ID)?.decision, 'recall');
  });

  it('ends its question at once when a component turns out to be bound to an older decision', () => {
    const known: Commit = { id: ID, set: SET, components: ['one', 'two'], decision: 'prepare' };
    assert.equal(decideCommit(known, facts({}), ID), known);
    assert.equal(decideCommit(known, facts({ commitId: 'b'.repeat(32) }), ID), null);
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

  const BOTH: Commit = { id: ID, set: SET, components: ['one', 'two'], decision: 'switch' };
  const gone = ['two'];
  const away = { awayMs: 1, step: 'trial', commitId: ID } as const;
  const bound = (step: MemberStep, more: Parameters<typeof facts>[0]): CommitFacts => {
    const { components, ...rest } = facts(more);
    const [one, two] = components;
    return { ...rest, components: [{ ...one!, step, commitId: ID }, two!] };
  };

  it('goes back at once without a computer that a person declared gone, and says so', () => {
    assert.equal(decideCommit(BOTH, bound('trial', away), ID), BOTH);
    const back = decideCommit({ ...BOTH, gone }, bound('trial', away), ID);
    assert.deepEqual([back?.decision, back?.gone], ['back', gone]);
    assert.match(back?.cause ?? '', /a person .* said that the computer of two is gone for good/);
    const sure = bound('sure', { ...away, step: 'done', commitId: null, confirmedBy: ID });
    assert.equal(decideCommit({ ...BOTH, gone }, sure, ID)?.decision, 'confirm');
  });

  it('keeps a decision for a computer that is gone, which stops no other once the rest has ended it', () => {
    for (const decision of ['confirm', 'back', 'recall'] as const) {
      const known = { ...BOTH, decision, gone };
      const rest = decision === 'confirm' ? 'done' : 'undone';
      const { components, ...more } = facts(away);
      const [one, two] = components;
      const ended = {
        ...more,
        components: [{ ...one!, step: rest, commitId: null }, two!],
      } as const;
      assert.equal(decideCommit(known, ended, ID), known, decision);
      assert.equal(isKeptForGone(known, ended), true, decision);
      assert.equal(isKeptForGone({ ...BOTH, decision }, ended), false, decision);
      const open = decision === 'recall' ? bound('undoing', away) : bound('sure', away);
      assert.equal(isKeptForGone(known, open), false, `${decision}: one still follows it`);
    }
  });

  it('takes a lost decision again without a computer that is gone: back, unless one has confirmed', () => {
    const unseen = { step: 'unknown', awayMs: 1, commitId: null } as const;
    for (const step of ['staged', 'trial', 'sure'] as const) {
      const { components } = bound(step, unseen);
      assert.equal(decideLost(ID, SET, components), null, 'without the word of a person');
      const found = decideLost(ID, SET, components, gone);
      const want = ['back', ['one', 'two'], gone];
      assert.deepEqual([found?.decision, found?.components, found?.gone], want);
    }
    const proof = bound('sure', unseen).components;
    const third = { ...proof[0]!, component: 'three', step: 'done', confirmedBy: ID } as const;
    assert.equal(decideLost(ID, SET, [...proof, third], gone)?.decision, 'confirm');
    const other = { ...third, ...unseen, confirmedBy: null };
    assert.equal(decideLost(ID, SET, [...proof, other], gone), null, 'another one is away as well');
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
