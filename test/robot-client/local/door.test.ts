/**
 * A person removes the local socket of a running agent: the agent reports it and opens it again.
 */

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DroverError, toProblem, type Problem } from '../../../shared/base/errors.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { LocalDoor } from '../../../robot-client/local/door.ts';
import { ReadyWord } from '../../../robot-client/local/ready-word.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';

const GONE = toProblem(new DroverError('STATE_GONE', 'listen on agent.sock: it was removed'));

describe('a local socket that was removed', () => {
  it('is reported and closed, and one that stands is left alone', async (t) => {
    const told: (Problem | null)[] = [];
    let closed = 0;
    let gone: Problem | null = null;
    const door = new LocalDoor({
      open: () => Promise.resolve({ close: async () => void (closed += 1) }),
      gone: () => Promise.resolve(gone),
      mayPass: () => true,
      onChange: (problem) => told.push(problem),
      closed: 'closed',
      log: makeLog('door', 'silent'),
    });
    t.after(() => door.close());
    await door.open();
    await door.check();
    assert.deepEqual([closed, door.isOpen], [0, true]);
    gone = GONE;
    await door.check();
    await door.check();
    assert.deepEqual([closed, door.isOpen], [1, false]);
    assert.deepEqual(told, [GONE]);
  });

  it('forgets the answer of the application, until the application gives it again', async (t) => {
    const layout = layoutOf(await tempFolder(t));
    await realDisk.mkdir(layout.state);
    const word = new ReadyWord({ disk: realDisk, layout });
    await word.say({ ready: true, reason: '' }, true);
    await rm(join(layout.state), { recursive: true });
    word.hold({ problem: GONE, isReachable: false }, 1);
    assert.equal(word.said?.ready, false);
    word.hold(null, 2);
    assert.equal(word.said?.ready, false);
    assert.equal(word.held?.problem.code, 'STATE_GONE');
    await word.say({ ready: true, reason: '' }, true);
    assert.deepEqual([word.said?.ready, word.held], [true, null]);
  });

  it('holds up no application that never spoke once it is open again', async (t) => {
    const word = new ReadyWord({ disk: realDisk, layout: layoutOf(await tempFolder(t)) });
    word.hold({ problem: GONE, isReachable: false }, 1);
    assert.equal(word.held?.problem.code, 'STATE_GONE');
    word.hold(null, 2);
    assert.deepEqual([word.said, word.held], [null, null]);
  });
});
