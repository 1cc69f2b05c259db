import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventText } from '../../../shared/rules/event-words.ts';

test('an event names the release that it is about, whichever one runs', () => {
  const step = { component: 'app', from: 'waiting', to: 'swapping', event: 'ready' };
  const running = { version: '1.1.0' };
  assert.equal(
    eventText({ ...step, ...running, target_version: '2.0.0' }),
    'app 2.0.0: waiting -> swapping, ready',
  );
  const idle = { component: 'app', from: 'idle', to: 'idle', ...running };
  const problem = { code: 'TOO_OLD' };
  const refused = { ...idle, event: 'refused', version: '2.0.0', problem };
  assert.equal(eventText(refused), 'app 2.0.0: idle, refused (TOO_OLD)');
  assert.equal(eventText({ ...idle, event: 'power_returned' }), 'app: idle, started');
  const back = { ...idle, from: 'probation', to: 'probation', target_version: '2.0.0' };
  assert.equal(
    eventText({ ...back, event: 'power_returned' }),
    'app 2.0.0: probation, started again',
  );
});
