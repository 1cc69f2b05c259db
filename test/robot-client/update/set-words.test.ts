/** The words of a component about others of its set: codes of this bundle, commands that work. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFailed } from '../../../robot-client/update/blocks.ts';
import { memberViewOf, stateOfSet } from '../../../robot-client/update/set-verdict.ts';
import { freshState, type Job, type MachineState } from '../../../robot-client/update/state.ts';
import { withGivenRoots } from '../../../robot-client/commands/given-roots.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import type { RolloutSet } from '../../../shared/formats/announcement.ts';
import { announce, factsOf, makeRollout, makeWorld } from '../world.ts';

const ELSEWHERE = {
  ...{ arch: 'x86_64', compatible: [], computer: 'perception' },
  roots: [{ component: 'vision', root: '/srv/my vision' }],
};

/** `app` is staged in a set with `vision`, which is on another computer. */
function stage(other: (about: Job) => MachineState) {
  const world = makeWorld();
  const jobs = ['app', 'vision'].map((name) => {
    const rollout = makeRollout(world, { version: '3.0.0', name }, { id: `s3-${name}` });
    const announced = announce(world, [rollout]);
    const { verdict } = decideOffer(announced, factsOf(world, { component: name }));
    if (verdict.kind !== 'take') throw new Error('the world is broken');
    return verdict.job;
  });
  const members = jobs.map(({ rollout, version, payloadSha256 }, at) => ({
    ...{ rollout, version, payload_sha256: payloadSha256, component: ['app', 'vision'][at] },
  })) as unknown as RolloutSet['members'];
  const set = { id: 's3', members } as unknown as RolloutSet;
  const [own, about] = jobs;
  if (!own || !about) throw new Error('the world is broken');
  const app: MachineState = { ...freshState(), phase: 'waiting', job: { ...own, set } };
  const links = { active: '1.0.0', rollback: null };
  const found = stateOfSet(
    'app',
    new Map([
      ['app', memberViewOf(app, links)],
      ['vision', { ...memberViewOf(other(about), links), elsewhere: ELSEWHERE }],
    ]),
  );
  if (!found) throw new Error('app is in no set');
  return found;
}

const last = (rollout: string, version: string) => ({
  ...{ rollout, version, outcome: 'rolled_back', code: 'HEALTH_FAILED', bytes: 1 },
  ...{ startedAtMs: 1, endedAtMs: 2, deltaFrom: null, deltaFailed: null },
});

describe('a component of a set', () => {
  it('is not said to have failed because an older version of it did', () => {
    const lastUpdate = last('s2-vision', '2.0.0') as MachineState['lastUpdate'];
    const found = stage(() => ({ ...freshState(), lastUpdate }));
    assert.equal(found.waitingFor, 'set s3: vision 3.0.0 is not staged');
    assert.doesNotMatch(found.problem.hint, /unblock/, 'nothing is blocked');
  });

  it('has the code of this bundle, and the command for the computer that has it blocked', () => {
    const found = stage(({ rollout, payloadSha256 }) => ({
      ...freshState(),
      lastUpdate: last(rollout, '3.0.0') as MachineState['lastUpdate'],
      blocked: [{ version: '3.0.0', payloadSha256, code: 'HEALTH_FAILED' }],
    }));
    assert.match(found.problem.message, /vision 3\.0\.0 went back \(HEALTH_FAILED\)$/);
    const command = "drover-robot unblock 3.0.0 --root 'vision=/srv/my vision' --component vision";
    assert.ok(found.problem.hint.endsWith(` on computer perception: ${command}`));
    const roots = [{ component: 'app', root: '/srv/app' }];
    const [shown] = withGivenRoots([found.problem.hint], { roots, defaultRoot: '/opt/robot' });
    assert.equal(shown, found.problem.hint, 'the roots of this computer are not added to it');
  });

  it('of this computer has the command with its name, and with the roots that were given', () => {
    const { hint } = setFailed('because', { component: 'arm', version: '2.0.0' });
    const roots = ['app', 'arm'].map((component) => ({ component, root: `/srv/${component}` }));
    const [shown = ''] = withGivenRoots([hint], { roots, defaultRoot: '/opt/robot' });
    const command = 'unblock 2.0.0 --root /srv/app --root arm=/srv/arm --component arm';
    assert.ok(shown.endsWith(`lift its block: drover-robot ${command}`), shown);
  });

  it('that is on the main computer has the command for that one', () => {
    const elsewhere = { arch: 'x86_64', compatible: [], computer: null, roots: [] };
    const { hint } = setFailed('because', { component: 'app', version: '2.0.0', elsewhere });
    assert.match(
      hint,
      /on the main computer of the robot: drover-robot unblock 2\.0\.0 --component app$/,
    );
  });
});
