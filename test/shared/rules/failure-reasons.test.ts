import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIMITS } from '../../../shared/base/limits.ts';
import { fingerprintOf, groupFailures, sameReason } from '../../../shared/rules/failure-reasons.ts';

const failed = (robot: string, message: string, code = 'HOOK_FAILED') => ({ robot, code, message });

describe('the fingerprint of a failure', () => {
  it('is one for robots that differ in numbers, hashes, temporary folders and their names', () => {
    const a = failed('r1', 'r1: exit 3 (no /tmp/x81/cam at 0x7f3a, build 9f86d081884c7d65)');
    const b = failed('r2', 'r2: exit 12 (no /tmp/q/cam at 0x1b, build 60deeb0d516d92f1)');
    assert.equal(fingerprintOf(a), fingerprintOf(b));
  });

  it('is another for another code or another word', () => {
    const a = failed('r1', 'no camera');
    assert.notEqual(fingerprintOf(a), fingerprintOf(failed('r1', 'no gripper')));
    assert.notEqual(fingerprintOf(a), fingerprintOf(failed('r1', 'no camera', 'HEALTH_FAILED')));
    assert.match(fingerprintOf(failed('r1', 'the facade decade')), /facade decade/);
  });

  it('does not depend on any number in the message', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (a, b) => {
        const of = (n: number) => fingerprintOf(failed('r', `took ${n} ms of ${n}.5 (pid ${n})`));
        assert.equal(of(a), of(b));
      }),
    );
  });
});

describe('failures in groups', () => {
  it('count each robot once, the largest group first, with a bounded list of names', () => {
    const seven = Array.from({ length: 7 }, (_, at) => failed(`r${at}`, `exit ${at} (no camera)`));
    const groups = groupFailures([failed('z', 'disk full', 'DISK_FULL'), ...seven]);
    assert.deepEqual(
      groups.map(({ code, robots }) => [code, robots]),
      [
        ['HOOK_FAILED', 7],
        ['DISK_FULL', 1],
      ],
    );
    assert.deepEqual(groups[0]?.named, ['r0', 'r1', 'r2', 'r3', 'r4']);
    assert.equal(sameReason(groups), '7 robots, same reason: exit 0 (no camera) (HOOK_FAILED)');
  });

  it('say nothing of one reason where each robot has its own', () => {
    assert.equal(sameReason(groupFailures([failed('a', 'x'), failed('b', 'y')])), null);
    assert.equal(sameReason([]), null);
  });

  it('are bounded, and no terminal escape of a robot comes through', () => {
    const letters = 'abcdefghijklmnopqrst'.split('');
    const groups = groupFailures(
      letters.map((one) => failed(one, `reason \u001b[2J ${one}${one}`)),
    );
    assert.equal(groups.length, LIMITS.failureGroupsMax);
    assert.ok(groups.every(({ message }) => !message.includes('\u001b')));
  });
});
