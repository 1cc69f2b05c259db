import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  offersOf,
  patchLoop,
  rankRoutes,
  scratchBytesOf,
  withoutDelta,
} from '../../../robot-client/update/delta.ts';
import { powerEvent, step } from '../../../robot-client/update/machine.ts';
import type { DeltaOffer } from '../../../robot-client/update/job-parts.ts';
import { freshState, type MachineState } from '../../../robot-client/update/state.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { encodeManifest, parseManifest } from '../../../shared/formats/manifest.ts';
import { decideOffer } from '../../../robot-client/update/decide.ts';
import { announce, factsOf, makeRollout, makeWorld, NOW } from '../world.ts';

const hashOf = (text: string) => sha256Hex(new TextEncoder().encode(text));
const offer = (from: string, bytes: number): DeltaOffer => ({
  coding: 'zstd',
  fromVersion: from,
  fromTarSha256: hashOf(`tar ${from}`),
  tarSha256: hashOf('tar'),
  tarBytes: 5_000,
  sha256: hashOf(`patch ${from} ${bytes}`),
  bytes,
  chunkBytes: 262_144,
  chunkIndex: hashOf('index'),
});
const [TAR, PATCH] = [hashOf('tar'), hashOf('patch')];
const DELTA = { from_version: '1.0.0', from_tar_sha256: TAR, sha256: PATCH, size: 100 };
const ARTIFACT = {
  ...{ kind: 'zstd-patch' as const, sha256: PATCH, size: 100 },
  ...{ chunk_size: 262_144, chunk_index: hashOf('patch index') },
};
const manifestWith = (more: object) =>
  parseManifest(
    encodeManifest({
      ...{ version: '1.1.0', min_current_version: '0.0.0', target_arch: 'any' },
      ...{ payload_sha256: hashOf('payload'), rollback_version: '0.0.0' },
      ...{ apply_strategy: 'atomic_swap' as const, payload_tar_sha256: TAR, payload_tar_size: 9 },
      ...more,
    }),
  );
const problem = { code: 'DELTA_INVALID' as const, message: 'm', hint: 'h' };

describe('the route of a payload', () => {
  it('is the one with least to come: the first is, and the full payload is the last of all', () => {
    const sizes = fc.nat(1_000_000);
    const world = fc.record({
      full: fc.record({ bytes: fc.integer({ min: 1, max: 1_000_000 }), there: sizes }),
      deltas: fc.array(fc.record({ bytes: sizes, there: sizes }), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(world, ({ full, deltas }) => {
        const offers = deltas.map(({ bytes }, at) => offer(`1.0.${at}`, bytes));
        const there = new Map(offers.map((one, at) => [one.sha256, deltas[at]?.there ?? 0]));
        const job = { offers, payloadBytes: full.bytes };
        const routes = rankRoutes(job, { full: full.there, deltas: there });
        const missing = routes.map((route) => route.missingBytes);
        assert.deepEqual(
          missing,
          [...missing].sort((a, b) => a - b),
        );
        assert.ok(missing.every((bytes) => bytes >= 0));
        assert.equal(routes.at(-1)?.delta, null);
        assert.equal(routes.filter((route) => route.delta === null).length, 1);
        const cheapest = Math.min(
          Math.max(0, full.bytes - full.there),
          ...deltas.map(({ bytes, there: got }) => Math.max(0, bytes - got)),
        );
        assert.equal(missing[0], cheapest);
      }),
    );
  });

  it('is a delta only if the release key signed it, its chunks are known and its base is here', () => {
    const facts = { bases: ['1.0.0', '0.9.0'], running: '1.0.0', failures: [], hasZstd: true };
    const offers = (
      more: object,
      artifacts = [ARTIFACT],
      patching: Parameters<typeof offersOf>[2] = facts,
    ) => offersOf(manifestWith(more), artifacts, patching).map((one) => one.fromVersion);
    const deltas = [DELTA];
    assert.deepEqual(offers({ deltas }), ['1.0.0']);
    assert.deepEqual(offers({}), [], 'an artifact that the manifest does not know');
    assert.deepEqual(offers({ deltas }, []), [], 'no chunks of it');
    assert.deepEqual(offers({ deltas }, [{ ...ARTIFACT, size: 101 }]), [], 'another size');
    assert.deepEqual(offers({ deltas }, [ARTIFACT], { ...facts, bases: ['0.9.0'] }), []);
    assert.deepEqual(offers({ deltas }, [ARTIFACT], null), [], 'a robot that cannot patch');
    const bare = { ...facts, hasZstd: false };
    assert.deepEqual(offers({ deltas }, [ARTIFACT], bare), [], 'a robot without zstd');
    assert.deepEqual(offers({ add_deltas: deltas }, [ARTIFACT], bare), ['1.0.0']);
    assert.deepEqual(offers({ add_deltas: deltas }, [ARTIFACT]), ['1.0.0']);
    assert.deepEqual(offers({ deltas, payload_tar_sha256: undefined }), []);
    assert.deepEqual(offers({ deltas, payload_tar_size: undefined }), []);
    const failed = { version: '1.1.0', payloadSha256: hashOf('payload'), ...problem };
    assert.deepEqual(offers({ deltas }, [ARTIFACT], { ...facts, failures: [failed] }), []);
  });
});

describe('the route of a system image', () => {
  it('[P-12.8] is a delta from the image that runs, and from no other', () => {
    const image = { size: 7, sha256: hashOf('image') };
    const older = { ...DELTA, from_version: '0.9.0' };
    const manifest = manifestWith({
      ...{ apply_strategy: 'slot_image', image, deltas: [DELTA, older] },
      ...{ payload_tar_sha256: undefined, payload_tar_size: undefined },
    });
    const facts = { bases: ['1.0.0', '0.9.0'], running: '1.0.0', failures: [], hasZstd: true };
    const [found, ...more] = offersOf(manifest, [ARTIFACT], facts);
    assert.deepEqual(more, []);
    const { fromVersion, fromTarSha256, tarSha256, tarBytes } = found ?? {};
    assert.deepEqual([fromVersion, fromTarSha256], ['1.0.0', TAR]);
    assert.deepEqual([tarSha256, tarBytes], [image.sha256, image.size]);
    assert.deepEqual(offersOf(manifest, [ARTIFACT], { ...facts, running: null }), []);
  });

  it('needs no room on the data disk for what the delta makes', () => {
    const delta = offer('1.0.0', 100);
    const bytes = (coding: DeltaOffer['coding'], strategy: string): number =>
      scratchBytesOf({ delta: { ...delta, coding }, strategy });
    assert.equal(bytes('add', 'slot_image'), 0);
    assert.equal(bytes('zstd', 'slot_image'), LIMITS.deltaDictionaryBytesMax);
    assert.equal(bytes('add', 'atomic_swap'), delta.tarBytes);
  });

  it('counts as applied while the slot is staged', () => {
    for (const phase of ['verifying', 'staging'] as const) {
      const state = stateIn(phase);
      const job = state.job && { ...state.job, strategy: 'slot_image', patchStarts: 3 };
      const event = powerEvent({ ...state, job }, 'agent', { bootsMax: 3 });
      assert.equal(event.kind, phase === 'staging' ? 'delta_failed' : 'power_returned');
    }
  });
});

/** A job with a delta, on its way. */
function stateIn(phase: MachineState['phase']): MachineState {
  const world = makeWorld();
  const manifest = { version: '1.1.0', payload_tar_sha256: TAR, payload_tar_size: 9 };
  const rollout = makeRollout(world, { ...manifest, deltas: [DELTA] });
  const artifacts = [...rollout.artifacts, ARTIFACT];
  const announcement = announce(world, [{ ...rollout, artifacts }]);
  const patching = { bases: ['1.0.0'], running: '1.0.0', failures: [], hasZstd: true };
  const { verdict } = decideOffer(announcement, factsOf(world, { patching }));
  assert.ok(verdict.kind === 'take');
  const [delta = null] = verdict.job.offers;
  assert.ok(delta, 'there is a delta');
  return { ...freshState(), phase, job: { ...verdict.job, delta } };
}

describe('a delta that is of no use', () => {
  it('[P-12.4] is given up in every phase that it can fail in, once for each bundle', () => {
    for (const [phase, then] of [
      ['checking', 'checking'],
      ['downloading', 'downloading'],
      ['verifying', 'downloading'],
      ['staging', 'downloading'],
    ] as const) {
      const { state, effects } = step(stateIn(phase), { kind: 'delta_failed', problem }, NOW);
      assert.equal(state.phase, then);
      assert.equal(state.job?.delta, null);
      assert.deepEqual(state.job?.offers, []);
      assert.equal(state.job?.deltaFailed, 'DELTA_INVALID');
      assert.equal(state.deltaFailures.length, 1);
      assert.deepEqual(state.blocked, []);
      assert.equal(state.lastProblem, null, 'the update itself has not failed');
      assert.equal(effects[0]?.kind, then === 'checking' ? 'check' : 'download');
    }
  });

  it('is remembered for the newest bundles only', () => {
    let state = stateIn('downloading');
    const { job } = state;
    assert.ok(job);
    for (let nth = 0; nth < LIMITS.deltaFailuresMax + 3; nth += 1) {
      const payloadSha256 = hashOf(`payload ${nth}`);
      state = withoutDelta({ ...state, job: { ...job, payloadSha256 } }, problem);
      state = withoutDelta({ ...state, job: { ...job, payloadSha256 } }, problem);
    }
    const kept = state.deltaFailures.map((one) => one.payloadSha256);
    const newest = Array.from({ length: LIMITS.deltaFailuresMax }, (_, at) =>
      hashOf(`payload ${at + 3}`),
    );
    assert.deepEqual(kept, newest);
  });

  it('is one that the agent was started in the middle of too often, by whatever it died', () => {
    let state = stateIn('verifying');
    for (let start = 0; start < LIMITS.patchStartsMax; start += 1) {
      assert.equal(patchLoop(state), null);
      for (const by of ['recover', 'agent'] as const) {
        const event = powerEvent(state, by, { bootsMax: 3 });
        assert.equal(event.kind, 'power_returned');
        state = step(state, event, NOW).state;
      }
    }
    const event = powerEvent(state, 'agent', { bootsMax: 3 });
    assert.ok(event.kind === 'delta_failed' && event.problem.code === 'DELTA_INTERRUPTED');
    assert.equal(powerEvent(state, 'recover', { bootsMax: 3 }).kind, 'power_returned');
    const full = step(state, event, NOW).state;
    assert.equal(full.phase, 'downloading');
    assert.equal(full.job?.patchStarts, 0);
  });
});
