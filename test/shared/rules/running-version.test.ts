/** A version counts only while it is known that it runs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lackByReport } from '../../../shared/rules/requires.ts';
import { PHASES, ROBOT_PHASES } from '../../../shared/formats/messages.ts';
import {
  doubtIn,
  doubtTold,
  runningIn,
  runningOf,
  versionShown,
} from '../../../shared/rules/running-version.ts';

const NAMED = { version: '1.0.0', phase: 'idle' } as const;
const error = (code: string, version: string | null = null) => ({
  last_error: { code, message: '', hint: '', version },
});

describe('a version that a component names', () => {
  it('runs in every phase before a swap, and in none of the others', () => {
    const kinds = ROBOT_PHASES.map((phase) => [
      phase,
      runningOf({ ...NAMED, phase, doubt: null }).kind,
    ]);
    assert.deepEqual(Object.fromEntries(kinds), {
      ...{ idle: 'runs', checking: 'runs', downloading: 'runs', verifying: 'runs' },
      ...{ staging: 'runs', waiting: 'runs', swapping: 'changing', rebooting: 'changing' },
      ...{ probation: 'changing', rolling_back: 'changing', reverting: 'changing' },
      stuck: 'unknown',
    });
  });

  it('is unknown while the robot doubts it, and nothing is only what is known to be nothing', () => {
    assert.equal(runningOf({ ...NAMED, doubt: 'MODULE_DIFFERS' }).kind, 'unknown');
    assert.equal(runningOf({ ...NAMED, version: null, doubt: 'RELEASE_LOST' }).kind, 'unknown');
    assert.equal(runningOf({ ...NAMED, version: null, doubt: null }).kind, 'nothing');
  });

  it('is in doubt for each problem of a module or boot loader that does not say otherwise', () => {
    for (const code of ['MODULE_DIFFERS', 'BOOT_TOOL_FAILED', 'A_LATER_CODE']) {
      assert.equal(doubtIn(code), code);
    }
    for (const code of ['BOOT_NOT_CONFIRMED', 'START_FAILED', null]) {
      assert.equal(doubtIn(code), null);
    }
  });
});

describe('a report of a component', () => {
  it('says by itself what is in doubt [P-8.14]', () => {
    assert.equal(doubtTold({ ...NAMED, version_doubt: 'A_LATER_CODE' }), 'A_LATER_CODE');
    assert.equal(doubtTold({ ...NAMED, version_doubt: null }), null);
    assert.equal(doubtTold({ ...NAMED, phase: 'stuck' }), 'ROLLBACK_FAILED');
  });

  it('of an older agent says it with a problem that belongs to no version', () => {
    assert.equal(doubtTold({ ...NAMED, ...error('MODULE_UNKNOWN') }), 'MODULE_UNKNOWN');
    assert.equal(doubtTold({ ...NAMED, ...error('BOOT_VERSION_UNKNOWN') }), 'BOOT_VERSION_UNKNOWN');
    assert.equal(
      doubtTold({ ...NAMED, version: null, ...error('SLOT_DANGLING') }),
      'SLOT_DANGLING',
    );
    // A way back that is foreign, a failed update that is over, a robot without room.
    assert.equal(doubtTold({ ...NAMED, ...error('SLOT_DANGLING') }), null);
    assert.equal(doubtTold({ ...NAMED, ...error('MODULE_UNKNOWN', '2.0.0') }), null);
    assert.equal(doubtTold({ ...NAMED, ...error('DISK_FULL') }), null);
  });

  it('counts as unknown in doubt, and never as the version that it names', () => {
    assert.equal(versionShown({ ...NAMED, phase: 'stuck' }), 'unknown');
    assert.equal(versionShown(NAMED), '1.0.0');
    assert.equal(versionShown({ ...NAMED, version: null }), null);
    for (const phase of PHASES) {
      assert.equal(
        versionShown({ ...NAMED, phase, version_doubt: 'MODULE_DIFFERS' }) === '1.0.0',
        runningIn({ ...NAMED, phase }).kind === 'changing',
        phase,
      );
    }
  });

  it('meets a range only with a version that runs for certain', () => {
    const requires = { arm: '^1' };
    const lack = (more: object) =>
      lackByReport({ requires }, [{ name: 'arm', ...NAMED, ...more }], null);
    assert.equal(lack({}), null);
    assert.equal(lack({ phase: 'probation' }), null); // a forecast: the robot itself waits
    assert.equal(lack({ version: '2.0.0' }), 'REQUIRES_UNMET');
    assert.equal(lack({ version: null }), 'REQUIRES_UNMET');
    assert.equal(lack({ phase: 'stuck' }), 'REQUIRES_UNKNOWN');
    assert.equal(lack({ version_doubt: 'MODULE_UNKNOWN' }), 'REQUIRES_UNKNOWN');
    assert.equal(lack({ version: null, version_doubt: 'SLOT_LOOP' }), 'REQUIRES_UNKNOWN');
    assert.equal(lackByReport({ requires }, [], null), 'REQUIRES_UNMET');
  });
});
