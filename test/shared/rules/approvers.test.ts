/** A wave that needs several people opens after commands of different users. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  approverWait,
  approverWords,
  countApproval,
  isApproved,
} from '../../../shared/rules/approvers.ts';

const TWO = { approvers: 2, published_by: 'pub' };

test('two different users are enough, and the publisher is none of them [P-6.10]', () => {
  const first = countApproval(TWO, [], 'ana');
  assert.deepEqual(first, { kind: 'counts', users: ['ana'], isEnough: false });
  const second = countApproval(TWO, ['ana'], 'ben');
  assert.deepEqual(second, { kind: 'counts', users: ['ana', 'ben'], isEnough: true });
  const own = countApproval(TWO, ['ana'], 'pub');
  assert.ok(own.kind === 'refused' && own.code === 'APPROVER_IS_PUBLISHER');
});

test('the same user twice counts once, and a request without a user counts never', () => {
  assert.deepEqual(countApproval(TWO, ['ana'], 'ana'), { kind: 'again' });
  const none = countApproval(TWO, ['ana'], null);
  assert.ok(none.kind === 'refused' && none.code === 'APPROVER_UNKNOWN');
});

test('an announcement that does not name its publisher opens nothing', () => {
  const unnamed = { approvers: 2, published_by: undefined };
  const found = countApproval(unnamed, [], 'ana');
  assert.ok(found.kind === 'refused' && found.code === 'APPROVER_UNKNOWN');
  assert.equal(isApproved(unnamed, ['ana', 'ben']), false);
});

test('users in a record of another controller are counted again, each once', () => {
  assert.equal(isApproved(TWO, ['ana', 'ana']), false);
  assert.equal(isApproved(TWO, ['ana', 'pub']), false);
  assert.equal(isApproved(TWO, ['ana', 'pub', 'ben']), true);
});

test('the words name who is still asked, with names that a terminal can show', () => {
  assert.equal(approverWait(TWO, []), 'for 2 users other than pub, who published it');
  assert.equal(approverWords(TWO, ['ana']), '1 of 2: waits for another user than ana and pub');
  const three = { approvers: 3, published_by: 'pub' };
  assert.equal(approverWords(three, ['ana']), '1 of 3: waits for 2 users other than ana and pub');
  assert.equal(
    approverWait(three, ['ana', 'b\u001b[2J']),
    'for another user than ana, b\\u{1b}[2J and pub',
  );
});
