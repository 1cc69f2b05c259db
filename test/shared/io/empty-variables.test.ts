/** An empty variable of an environment file means that it is not given. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BROKER_LOGIN, dropEmptyVariables, readLogin } from '../../../shared/io/cli-options.ts';
import { startDrover } from '../../helpers/child.ts';

test('an empty variable of Drover counts as one that is not set, and others stay', () => {
  const environment = {
    DROVER_USERNAME: '',
    DROVER_PASSWORD: '',
    DROVER_KEY: 'a',
    OTHER: '',
    UNSET: undefined,
  };
  dropEmptyVariables(environment);
  assert.deepEqual(environment, { DROVER_KEY: 'a', OTHER: '', UNSET: undefined });
  assert.deepEqual(readLogin({ environment }, BROKER_LOGIN), {});
});

test('each program starts with empty variables as without them', async (t) => {
  const env = { DROVER_PASSWORD: '', DROVER_ROBOT_ID: '' };
  const robot = startDrover(
    t,
    'robot-client',
    ['--broker', 'mqtt://127.0.0.1:1', '--trust', '/nonexistent/trust.json'],
    { env },
  );
  await robot.exit;
  assert.match(robot.stderr, /it has no robot id|read trust file/);
  assert.doesNotMatch(robot.stderr, /a password without a user name/);
});
