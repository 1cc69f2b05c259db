/** Decisions about an agent that updates itself, without a process. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inPlaceProblem, insteadProblem, readLaunch } from '../../../robot-client/self/launch.ts';
import { decideOffered } from '../../../robot-client/update/offered.ts';
import { notUpEvent, selfFailure, trialMs } from '../../../robot-client/update/self-trial.ts';
import {
  freshState,
  makeJob,
  parseMachineState,
  type Job,
} from '../../../robot-client/update/state.ts';
import { planSet } from '../../../publisher/rollout/set-rules.ts';
import { openAnnouncement } from '../../../shared/formats/announcement.ts';
import { verifyRollout } from '../../../shared/formats/bundle-signature.ts';
import { DroverError, toProblem } from '../../../shared/base/errors.ts';
import { parseRobotId, type Sha256Hex } from '../../../shared/base/ids.ts';
import { STATE_SCHEMA_READ, STATE_SCHEMA_WRITTEN } from '../../../shared/rules/agent-bundle.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { makeFleet } from '../../helpers/fleet.ts';

const fleet = makeFleet();

async function jobOf(version: string): Promise<Job> {
  const bundle = await fleet.makeBundle({ version });
  const fields = fleet.makeRollout('agent', bundle);
  const [rollout] = openAnnouncement(fleet.announce(1, [fields]), fleet.trust).rollouts;
  if (!rollout) assert.fail('no rollout');
  const [artifact] = rollout.artifacts;
  if (!artifact) assert.fail('no artifact');
  return makeJob({
    rollout,
    artifact,
    bundle: verifyRollout(rollout, fleet.trust),
    seq: 1,
    now: 0,
  });
}

describe('an agent on trial', () => {
  const late = toProblem(new DroverError('HEALTH_DEADLINE', 'confirm 1.1.0: not healthy'));

  it('is not to blame for a link that is lost once, and is after three trials', async () => {
    const job = await jobOf('1.1.0');
    const codes = [0, 1, 2].map((attempts) => {
      const retry = { payloadSha256: job.payloadSha256, attempts, notBeforeMs: 0 };
      const on = { self: { wasHeard: false }, state: () => ({ retry }) };
      return selfFailure(late, job, on).code;
    });
    assert.deepEqual(codes, ['AGENT_UNHEARD', 'AGENT_UNHEARD', 'AGENT_SILENT']);
    const state = () => ({ retry: null });
    assert.equal(selfFailure(late, job, { self: { wasHeard: true }, state }), late);
    assert.equal(selfFailure(late, job, { state }), late);
  });

  it('has to be confirmed before drover-launch would end it', async () => {
    const job = { ...(await jobOf('1.1.0')), healthTimeoutMs: LIMITS.healthTimeoutMsMax };
    const state = () => ({ retry: null });
    assert.ok(trialMs(job, { self: { wasHeard: false }, state }) < LIMITS.agentStartMs);
    assert.equal(trialMs(job, { state }), LIMITS.healthTimeoutMsMax);
  });

  it('failed when another one starts in its place, and not when it starts itself', async () => {
    const job = await jobOf('1.1.0');
    const launch = { isLaunched: true, instead: { version: '1.1.0', why: '3 hung 900' } };
    const old = { running: '1.0.0', launch };
    const found = notUpEvent({ phase: 'probation', job }, old);
    assert.equal(found && 'problem' in found && found.problem.code, 'AGENT_NOT_UP');
    assert.equal(notUpEvent({ phase: 'probation', job }, { ...old, running: '1.1.0' }), null);
    assert.equal(notUpEvent({ phase: 'rolling_back', job }, old), null);
    const other = { isLaunched: true, instead: { version: '1.0.5', why: 'missing' } };
    assert.equal(notUpEvent({ phase: 'probation', job }, { ...old, launch: other }), null);
  });
});

it('an older agent reads a state with facts that it does not know, and leaves one of a later schema', async () => {
  const job = await jobOf('1.1.0');
  const later = { ...freshState(), phase: 'probation', job: { ...job, tomorrow: 1 }, tomorrow: {} };
  const encode = (state: object): Uint8Array => new TextEncoder().encode(JSON.stringify(state));
  assert.deepEqual(parseMachineState(encode(later)).job, job);
  const newer = encode({ ...later, schema: STATE_SCHEMA_READ + 1 });
  assert.throws(() => parseMachineState(newer), { code: 'STATE_NEWER' });
  assert.ok(STATE_SCHEMA_WRITTEN <= STATE_SCHEMA_READ);
});

it('an agent is no part of a set: publish refuses it with a code', () => {
  const part = (component: string) => ({
    ...{ rolloutId: `s-${component}`, component, version: '1.0.0', strategy: 'atomic_swap' },
    payloadSha256: '0'.repeat(64) as Sha256Hex,
  });
  assert.throws(() => planSet('s', [part('app'), part('drover-agent')]), { code: 'AGENT_IN_SET' });
});

describe('an agent that is offered', () => {
  it('takes none that is older than the installed one', async () => {
    const rollout = fleet.makeRollout('old', await fleet.makeBundle({ version: '0.8.0' }));
    const facts = { robot: parseRobotId('r1'), arch: 'x86_64', tags: [] };
    const self = { running: null, product: '0.9.0' };
    const { verdict } = decideOffered(openAnnouncement(fleet.announce(1, [rollout]), fleet.trust), {
      ...{ facts, component: 'app', trust: fleet.trust, self, state: freshState() },
      slots: { active: { kind: 'absent' }, rollback: { kind: 'absent' } },
      ...{ views: new Map(), now: Date.now() },
      heard: { progress: new Map(), completeSince: new Map() },
    });
    assert.equal(verdict.kind === 'refuse' && verdict.problem.code, 'BELOW_HIGHEST');
  });
});

describe('the words of drover-launch', () => {
  it('count only when it said that it is there', () => {
    const instead = { DROVER_AGENT_INSTEAD: '1.0.0 missing' };
    assert.deepEqual(readLaunch(instead), { isLaunched: false, instead: null });
    const told = readLaunch({ ...instead, DROVER_AGENT_LAUNCHED: '1' });
    assert.deepEqual(told.instead, { version: '1.0.0', why: 'missing' });
    const odd = { DROVER_AGENT_LAUNCHED: '1', DROVER_AGENT_INSTEAD: '../x 3' };
    assert.equal(readLaunch(odd).instead, null);
  });

  it('are reported as sentences, each with its code', () => {
    const said = (why: string) => insteadProblem({ version: '1.0.0', why });
    assert.equal(said('uncounted').code, 'BOOT_NOT_COUNTED');
    assert.match(said('missing').message, /its program, or a Node\.js to run it with, is gone/);
    assert.match(said('damaged').message, /count of its starts is damaged/);
    assert.match(said('3 hung 900').message, /did not show itself within 900 s/);
    assert.match(said('3 ').message, /not confirmed in 3 starts$/);
    const { code } = inPlaceProblem({ isLaunched: false, instead: null }, '1.0.0', null);
    assert.equal(code, 'AGENT_NOT_LAUNCHED');
  });
});
