/** Warnings of a command between the lines of its answer, and the words of hints. */

import assert from 'node:assert/strict';
import { readInput } from '../../../shared/io/cli.ts';
import { assertRefused } from '../../helpers/refusal.ts';
import { describe, it } from 'node:test';
import { aboutRollout } from '../../../publisher/commands/rollout-options.ts';
import { DroverError, filledHint, toProblem, withFilledHint } from '../../../shared/base/errors.ts';
import { warningLines } from '../../../shared/io/command-log.ts';
import { allSources } from '../../helpers/sources.ts';

describe('a warning of a command', () => {
  it('is a sentence that says what happened, why, and what to do', () => {
    const problem = toProblem(new DroverError('DISK_FULL', 'write x: no room', { hint: 'free y' }));
    assert.deepEqual(warningLines({ problem, path: '/x' }, 'could not keep the journal'), [
      'warning: could not keep the journal: write x: no room; path /x (DISK_FULL)',
      'hint: free y',
    ]);
    const reason = String(new DroverError('ENVELOPE_KEY_UNKNOWN', 'open envelope: another key'));
    assert.deepEqual(warningLines({ reason }, 'a message does not verify: ignored'), [
      'warning: a message does not verify: ignored: open envelope: another key',
    ]);
    const facts = { code: 'ANNOUNCEMENT_AHEAD', robots: ['r1', 'r2'] };
    assert.deepEqual(warningLines(facts, 'a seq is ahead'), [
      'warning: a seq is ahead; robots r1, r2 (ANNOUNCEMENT_AHEAD)',
    ]);
  });

  it('carries nothing of a stranger to the terminal as it is', () => {
    const [line] = warningLines({ reason: `a\u001b[2Jb${'x'.repeat(5_000)}` }, 'said');
    assert.ok(line && line.length < 1_200);
    assert.doesNotMatch(line, /\u001b/);
  });

  it('comes from every command that logs: only the daemons write JSON by themselves', () => {
    const commands = allSources().filter(({ path }) =>
      /^(broker|publisher|robot-client)\//.test(path),
    );
    const makers = commands.filter(({ code }) => /\bmakeLog\(/.test(code)).map(({ path }) => path);
    assert.deepEqual(makers.sort(), ['broker/commands/serve.ts', 'robot-client/commands/serve.ts']);
  });
});

describe('a hint with a command', () => {
  it('names the rollout or version it is about, where that is known', () => {
    const failure = new DroverError('APPROVAL_TOO_EARLY', 'approve rollout app-1: wave 1 soaks');
    const { hint } = withFilledHint(failure, { ID: 'app-1' }) as DroverError;
    assert.match(hint, /drover rollout status app-1 says/);
    assert.match(hint, /drover rollout force-open app-1 --wave N --reason WHY/);
    const failed = new DroverError('FAILED_BEFORE', 'take 1.2.0: it failed here');
    assert.match(filledHint(failed.hint, { VERSION: '1.2.0' }), /drover-robot unblock 1\.2\.0$/);
  });

  it('names it in what every verb of a rollout throws', async () => {
    const run = aboutRollout(async () => {
      await Promise.resolve();
      throw new DroverError('ROLLOUT_HALTED', 'watch rollout v1: halted');
    });
    await assert.rejects(run({ id: 'v1' }), { hint: /drover rollout history v1;/ });
    await assert.rejects(run({ id: 'no id' }), { hint: /drover rollout history ID;/ });
  });

  it('stays as it is where nothing is known, and where the word is of another command', () => {
    const failed = new DroverError('FAILED_BEFORE', 'take 1.2.0: it failed here');
    assert.equal(filledHint(failed.hint, {}), failed.hint);
    const down = 'drover build --downgrade-from VERSION';
    assert.equal(filledHint(down, { VERSION: '1.0.0' }), down);
    const bug = new Error('x');
    assert.equal(withFilledHint(bug, { ID: 'x' }), bug);
  });
});

describe('a file that a person names', () => {
  it('is read up to a bound, also when it never ends', () => {
    assertRefused('DOCUMENT_TOO_LARGE', () => readInput('/dev/zero', 'key /dev/zero'));
    assertRefused('FILE_UNREADABLE', () => readInput('/no/such/file', 'key'));
    assert.deepEqual(readInput('/dev/null', 'nothing'), new Uint8Array());
  });
});
