/** The user name for the audit log when the shell does not give one. */

import assert from 'node:assert/strict';
import { userInfo } from 'node:os';
import { test } from 'node:test';
import { shellUser } from '../../../publisher/commands/rollout-options.ts';

test('the history names the user of the process where $USER is not set, as from cron', (t) => {
  const before = process.env['USER'];
  t.after(() => {
    if (before === undefined) delete process.env['USER'];
    else process.env['USER'] = before;
  });
  process.env['USER'] = 'erin';
  assert.equal(shellUser(), 'erin');
  for (const unset of [() => delete process.env['USER'], () => (process.env['USER'] = '')]) {
    unset();
    assert.equal(shellUser(), userInfo().username);
  }
});
