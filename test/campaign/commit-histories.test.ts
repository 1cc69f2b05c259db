/**
 * Every history of a set over three computers, and over two whose messages come late: the walk of
 * test/robot-client/members/commit.test.ts over models that take minutes.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkHistories } from '../robot-client/members/commit-walk.ts';

describe('a set over several computers, in every history', () => {
  it('of three: is never mixed, and always comes to an end', () => {
    const found = checkHistories(3, { idsMax: 1, areLate: false, mayReplace: false });
    assert.ok(found.confirmed > 0 && found.undone > 0, JSON.stringify(found));
  });

  it('of two, with messages that come late', () => {
    const rules = { idsMax: 1, areLate: true, mayReplace: false, mayFail: false };
    const found = checkHistories(2, rules);
    assert.ok(found.confirmed > 0, JSON.stringify(found));
  });

  it('of two, in two attempts, one of which is replaced', () => {
    const found = checkHistories(2, { idsMax: 2, areLate: false, mayReplace: true });
    assert.ok(found.caughtUp > 0 && found.undone > 0, JSON.stringify(found));
  });

  it('of two, when the leader is replaced with all that it had, or its member is', () => {
    const found = checkHistories(2, {
      ...{ idsMax: 2, areLate: false, mayReplace: true, mayFail: false },
      ...{ leads: true, mayLose: true },
    });
    assert.ok(found.caughtUp > 0, JSON.stringify(found));
  });

  it('of three, one of which a person declares gone for good, and which comes back all the same', () => {
    const rules = { idsMax: 1, areLate: false, mayReplace: false, leads: true, mayBeGone: true };
    const found = checkHistories(3, rules);
    assert.ok(found.confirmed > 0 && found.undone > 0, JSON.stringify(found));
  });
});
