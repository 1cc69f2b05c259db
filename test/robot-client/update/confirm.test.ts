import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startAndProbe, type Outcome } from '../../../robot-client/update/confirm.ts';
import type { HookResult } from '../../../robot-client/install/hooks.ts';
import type { Slot, Slots } from '../../../robot-client/install/slots.ts';
import { onTrial, takenBack, type OnTrial } from '../../../robot-client/update/probation.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const OK: HookResult = { kind: 'ok', output: '' };
const BAD: HookResult = { kind: 'failed', exitCode: 1, signal: null, output: 'no lidar' };
const AWAY: OnTrial = { kind: 'other', problem: takenBack('1.1.0', 'active leads to 1.0.0') };
const slotsOf = (active: Slot): Slots => ({ active, rollback: { kind: 'absent' } });
const NEVER = new Promise<void>(() => {});

/** The answers of the health hook one after the other, the last for ever. */
async function probe(
  answers: readonly HookResult[],
  confirmed: Promise<void> = NEVER,
  look: () => OnTrial = () => ({ kind: 'runs' }),
): Promise<{ outcome: Outcome; probes: number }> {
  let probes = 0;
  const outcome = await startAndProbe({
    strategy: 'atomic_swap',
    version: '1.1.0',
    healthTimeoutMs: 400,
    healthIntervalMs: 5,
    hookTimeoutMs: 100,
    signal: new AbortController().signal,
    confirmed,
    readSlot: () => Promise.resolve(look()),
    runHook: async (name) => {
      if (name === 'start') return OK;
      probes += 1;
      return answers[Math.min(probes, answers.length) - 1] ?? OK;
    },
  });
  return { outcome, probes };
}

describe('the health of a new version', () => {
  it('is good after several good answers in a row', async () => {
    const { outcome, probes } = await probe([BAD, OK, BAD, OK]);
    assert.equal(outcome.kind, 'healthy');
    assert.equal(probes, 3 + LIMITS.healthSuccessesMin);
  });

  it('is bad when it flaps until the time is over, and the report says so', async () => {
    const flapping = Array.from({ length: 200 }, (_, at) => (at % 3 === 2 ? BAD : OK));
    const { outcome } = await probe(flapping);
    assert.ok(outcome.kind === 'unhealthy');
    assert.equal(outcome.problem.code, 'HEALTH_DEADLINE');
  });

  it('is not known while its hook may not be run, and no version is to blame for that', async () => {
    const output = 'hook health: /h may be written by others (mode 777): chmod go-w /h';
    const unsafe: HookResult = { ...BAD, exitCode: null, output, code: 'PROGRAM_UNSAFE' };
    const { outcome } = await probe([unsafe]);
    assert.ok(outcome.kind === 'unhealthy');
    const { code, message } = outcome.problem;
    assert.equal(code, 'PROGRAM_UNSAFE');
    assert.equal(message, `confirm 1.1.0: its health is not known: ${output}`);
    const mended = await probe([unsafe, unsafe, OK]);
    assert.equal(mended.outcome.kind, 'healthy', 'it is asked to the end of the time');
  });

  it('is not asked for where there is no health hook', async () => {
    const { outcome, probes } = await probe([{ kind: 'absent' }]);
    assert.deepEqual([outcome.kind, probes], ['healthy', 1]);
  });

  it('is of no account when it is about another version that a person linked', async () => {
    const confirmed = new Promise<void>(() => {});
    for (const says of [[OK], [{ kind: 'absent' } as const]]) {
      const { outcome } = await probe(says, confirmed, () => AWAY);
      assert.ok(outcome.kind === 'unhealthy');
      assert.equal(outcome.problem.code, 'ACTIVE_CHANGED');
    }
    const { outcome } = await probe([OK], Promise.resolve(), () => AWAY);
    assert.equal(outcome.kind, 'unhealthy', 'also when the application says that it is well');
  });

  it('is of no account from the answer on during which the link changed', async () => {
    let looks = 0;
    const look = (): OnTrial => {
      looks += 1;
      return looks < LIMITS.healthSuccessesMin ? { kind: 'runs' } : AWAY;
    };
    const { outcome } = await probe([OK], NEVER, look);
    assert.equal(outcome.kind, 'unhealthy');
  });

  it('waits for a link that is made again, and ends when it stays away', async () => {
    const looks: OnTrial[] = [onTrial(slotsOf({ kind: 'absent' }), '1.1.0'), { kind: 'runs' }];
    const anew = await probe([OK], NEVER, () => looks.shift() ?? { kind: 'runs' });
    assert.deepEqual(
      [anew.outcome.kind, anew.probes],
      ['healthy', 1 + LIMITS.healthSuccessesMin],
      'the answer while it was away does not count',
    );
    const gone = await probe([OK], NEVER, () => onTrial(slotsOf({ kind: 'absent' }), '1.1.0'));
    assert.ok(gone.outcome.kind === 'unhealthy');
    assert.equal(gone.outcome.problem.code, 'RELEASE_LOST');
  });

  it('is not good while it cannot be seen what runs', async () => {
    const { outcome } = await probe([OK], NEVER, () => ({ kind: 'unsure' }));
    assert.ok(outcome.kind === 'unhealthy');
    assert.equal(outcome.problem.code, 'HEALTH_DEADLINE');
  });

  it('is good at once when the application itself says so', async () => {
    const { outcome } = await probe([BAD], Promise.resolve());
    assert.equal(outcome.kind, 'healthy');
  });
});
