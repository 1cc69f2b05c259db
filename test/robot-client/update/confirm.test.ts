import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startAndProbe, type Outcome } from '../../../robot-client/update/confirm.ts';
import type { HookResult } from '../../../robot-client/install/hooks.ts';
import { LIMITS } from '../../../shared/base/limits.ts';

const OK: HookResult = { kind: 'ok', output: '' };
const BAD: HookResult = { kind: 'failed', exitCode: 1, signal: null, output: 'no lidar' };
const NEVER = new Promise<void>(() => {});

/** The answers of the health hook one after the other, the last for ever. */
async function probe(
  answers: readonly HookResult[],
  confirmed: Promise<void> = NEVER,
): Promise<{ outcome: Outcome; probes: number }> {
  let probes = 0;
  const outcome = await startAndProbe({
    version: '1.1.0',
    healthTimeoutMs: 400,
    healthIntervalMs: 5,
    hookTimeoutMs: 100,
    signal: new AbortController().signal,
    confirmed,
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

  it('is not asked for where there is no health hook', async () => {
    const { outcome, probes } = await probe([{ kind: 'absent' }]);
    assert.deepEqual([outcome.kind, probes], ['healthy', 1]);
  });

  it('is good at once when the application itself says so', async () => {
    const { outcome } = await probe([BAD], Promise.resolve());
    assert.equal(outcome.kind, 'healthy');
  });
});
