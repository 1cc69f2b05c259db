import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LiveView } from '../../../robot-client/fleet/live-view.ts';
import { refusedWrite } from '../../../robot-client/update/assert-swappable.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';

describe('the reason for which a component waits', () => {
  it('is not shown any more when its time has come and nothing came of it', () => {
    let now = 1_000;
    let changes = 0;
    const onChange = (): void => void (changes += 1);
    const live = new LiveView({ now: () => now, onChange, onIdle: () => {} });
    live.wait('another try after a failure', 5_000);
    live.passed();
    assert.deepEqual([live.value.wakeAtMs, changes], [5_000, 1]);
    now = 5_000;
    live.passed();
    live.passed();
    const { waitingFor, wakeAtMs } = live.value;
    assert.deepEqual([waitingFor, wakeAtMs, changes], [null, null, 2], 'told once');
    live.close();
  });

  it('is not shown any more once the robot refuses that release, also at the second refusal', () => {
    const live = new LiveView({ now: () => 1_000, onChange: () => {}, onIdle: () => {} });
    const problem = toProblem(new DroverError('SET_INCOMPLETE', 'no arm'));
    for (const isNew of [true, false]) {
      live.wait('the broker was just asked whether it was stopped', null);
      assert.equal(live.refuse(problem, '2.0.0'), isNew);
      assert.equal(live.value.waitingFor, null);
    }
    live.close();
  });
});

describe('a folder that takes no change', () => {
  const said = (code: 'DISK_READ_ONLY' | 'DISK_WRITE_FAILED', errno: string): unknown =>
    refusedWrite('/r/state', new DroverError(code, `remove /r/state/.x: ${errno}, unlink '/r/x'`));

  it('is named in words, and not by the name that was tried in it', () => {
    const readOnly = said('DISK_READ_ONLY', 'EROFS: read-only file system');
    assert.ok(readOnly instanceof DroverError);
    assert.equal(readOnly.message, 'write in /r/state: the file system is read-only');
    const denied = said('DISK_WRITE_FAILED', 'EACCES: permission denied');
    assert.ok(denied instanceof DroverError && denied.code === 'DISK_WRITE_FAILED');
    assert.equal(denied.message, 'write in /r/state: EACCES: permission denied');
  });
});
