/** Each component of a robot judges a whole set: all of them come to one answer. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decideOffer, decideRecall } from '../../../robot-client/update/decide.ts';
import type { OtherFacts, Verdict } from '../../../robot-client/update/verdict.ts';
import { freshState } from '../../../robot-client/update/state.ts';
import type { RolloutFields } from '../../../shared/formats/announcement.ts';
import { base64ToBytes } from '../../../shared/crypto/bytes.ts';
import { parseManifest, type ManifestFields } from '../../../shared/formats/manifest.ts';
import { announce, factsOf, makeRollout, makeWorld } from '../world.ts';

const world = makeWorld();

function setOf(...parts: (Partial<ManifestFields> & { version: string; name: string })[]) {
  const rollouts = parts.map((one) => makeRollout(world, one, { id: `s-${one.name}` }));
  const members = rollouts.map((one, at) => ({
    ...{ rollout: one.id, component: parts[at]?.name ?? '', version: parts[at]?.version ?? '' },
    payload_sha256: parseManifest(base64ToBytes(one.manifest) as Uint8Array).payload_sha256,
  }));
  return rollouts.map((one): RolloutFields => ({ ...one, set: { id: 's', members } }));
}

/** The same with that component as its system image. */
const withImage = (set: readonly RolloutFields[], image: string): RolloutFields[] =>
  set.map((one): RolloutFields => ({ ...one, ...(one.set && { set: { ...one.set, image } }) }));

const image = { size: 1000, sha256: 'a'.repeat(64) };
const IMAGE = { name: 'system', version: '1.1.0', apply_strategy: 'slot_image', image } as const;

const SET = setOf({ name: 'system', version: '1.1.0' }, { name: 'app', version: '1.2.0' });

const other = (component: string, more: Partial<OtherFacts> = {}): OtherFacts => ({
  ...{ component, version: '1.0.0', payloadSha256: null, blocked: [], joined: null },
  ...more,
});

function judge(
  others: [string, OtherFacts | null][],
  rollouts: readonly RolloutFields[] = SET,
  component = 'app',
): Verdict {
  const facts = factsOf(world, { component, others: new Map(others) });
  return decideOffer(announce(world, [...rollouts]), facts).verdict;
}

const codeOf = (verdict: Verdict): string =>
  verdict.kind === 'refuse' ? verdict.problem.code : verdict.kind;

describe('a component takes its bundle of a set', () => {
  it('when the others take theirs, and remembers the set [P-10.6]', () => {
    const verdict = judge([['system', other('system')]]);
    assert.ok(verdict.kind === 'take');
    assert.deepEqual(
      verdict.job.set?.members.map((one) => one.component),
      ['system', 'app'],
    );
  });

  it('when another runs its bundle already, even if that is announced no more', () => {
    const runs: [string, OtherFacts][] = [['system', other('system', { version: '1.1.0' })]];
    assert.equal(judge(runs).kind, 'take');
    assert.equal(judge(runs, SET.slice(1)).kind, 'take');
  });
});

describe('a component refuses its bundle of a set', () => {
  it('on a robot that lacks another component, or cannot read it', () => {
    assert.equal(codeOf(judge([])), 'SET_INCOMPLETE');
    assert.equal(codeOf(judge([['system', null]])), 'SET_INCOMPLETE');
  });

  it('when the rollout of another is not announced, or not for this robot', () => {
    const [system, app] = SET;
    assert.ok(system && app);
    const others: [string, OtherFacts][] = [['system', other('system')]];
    assert.equal(codeOf(judge(others, [app])), 'SET_INCOMPLETE');
    const elsewhere = { ...system, target: { robots: ['r9'] } };
    assert.equal(codeOf(judge(others, [elsewhere, app])), 'SET_INCOMPLETE');
  });

  it('when another refuses its own, and names it with its code', () => {
    const tooNew = judge([['system', other('system', { version: '2.0.0' })]]);
    assert.equal(codeOf(tooNew), 'SET_FAILED');
    assert.match(JSON.stringify(tooNew), /system 1\.1\.0.*NOT_NEWER/);
    const payload = SET[0]?.set?.members[0]?.payload_sha256 ?? '';
    const blocked = [{ version: '1.1.0', payloadSha256: payload, code: 'HEALTH_FAILED' }] as never;
    const failed = judge([['system', other('system', { blocked })]]);
    assert.match(JSON.stringify(failed), /SET_FAILED.*FAILED_BEFORE/);
    assert.equal(failed.kind, 'refuse');
    if (failed.kind !== 'refuse') return;
    const { message, hint } = failed.problem;
    assert.match(message, /: system 1\.1\.0: it failed on this robot/, 'said once');
    assert.match(
      hint,
      /drover-robot unblock 1\.1\.0 --component system$/,
      'the version that is blocked',
    );
  });

  it('as one for other machines, when another is', () => {
    const set = setOf(
      { name: 'system', version: '1.1.0', target_arch: 'riscv64' },
      { name: 'app', version: '1.2.0' },
    );
    assert.equal(codeOf(judge([['system', other('system')]], set)), 'ARCH_WRONG');
  });

  it('when the set does not name its system image, or names another component for it', () => {
    const set = setOf(IMAGE, { name: 'app', version: '1.2.0' });
    const others: [string, OtherFacts][] = [['system', other('system')]];
    assert.equal(codeOf(judge(others, set)), 'SET_INCOMPLETE');
    assert.equal(codeOf(judge(others, withImage(set, 'app'))), 'SET_INCOMPLETE');
    assert.equal(codeOf(judge(others, withImage(set, 'system'))), 'take');
    const own: [string, OtherFacts][] = [['app', other('app')]];
    assert.equal(codeOf(judge(own, set, 'system')), 'SET_INCOMPLETE');
  });

  it('when two are system images, or a module is beside one [P-10.7]', () => {
    const second = setOf(IMAGE, { ...IMAGE, name: 'app' });
    const others: [string, OtherFacts][] = [['system', other('system')]];
    assert.equal(codeOf(judge(others, withImage(second, 'system'))), 'SET_MIXED');
    const board = { name: 'arm', version: '1.2.0', apply_strategy: 'module/firmware' } as const;
    const three = withImage(setOf(IMAGE, { name: 'app', version: '1.2.0' }, board), 'system');
    const all: [string, OtherFacts][] = [
      ['system', other('system')],
      ['arm', other('arm')],
    ];
    assert.equal(codeOf(judge(all, three)), 'SET_MIXED');
  });

  it('when the set does not name it, or gives another payload to its rollout', () => {
    const [system, app] = SET;
    const members = (app?.set?.members ?? []).map((one) => ({
      ...one,
      payload_sha256: 'a'.repeat(64),
    }));
    const changed = [system, { ...app, set: { id: 's', members } }] as RolloutFields[];
    assert.equal(codeOf(judge([['system', other('system')]], changed)), 'SET_INCOMPLETE');
  });
});

describe('a component waits', () => {
  it('while the wave of another is not open for this robot', () => {
    const [system, app] = SET;
    assert.ok(system && app);
    const closed = { ...system, waves: [{ percent: 10 }, { percent: 100 }] };
    const verdict = judge([['system', other('system')]], [closed, app]);
    assert.ok(verdict.kind === 'wait');
    assert.deepEqual([verdict.version, verdict.problem.code], ['1.2.0', 'COHORT_CLOSED']);
  });
});

describe('the recall of one rollout of a set', () => {
  it('is refused for all while another component has nothing to go back to', () => {
    const verdict = judge([['system', other('system')]]);
    assert.ok(verdict.kind === 'take');
    const installed = { ...verdict.job, previousVersion: '1.0.0' };
    const progress = new Map([
      ['s-app', { recall: true, status: 'rolling_back', reasons: [], expires_at: Infinity }],
    ]) as never;
    const state = { ...freshState(), installed };
    const facts = { state, active: '1.2.0', rollback: '1.0.0', progress, now: 0 };
    assert.equal(decideRecall(facts)?.code, 'ROLLOUT_RECALLED');
    assert.equal(decideRecall({ ...facts, hinder: 'system' })?.code, 'RECALL_IMPOSSIBLE');
  });
});
