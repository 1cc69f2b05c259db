import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { explainComponent } from '../../../robot-client/local/explain.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { PatchProgram } from '../../../shared/base/ports.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { zstdProgram } from '../../../shared/io/zstd.ts';
import {
  encodePatchHead,
  parsePatchHead,
  patchHeadBytes,
} from '../../../shared/transfer/patch-plan.ts';
import { makeDelta, patchBetween } from '../../helpers/delta.ts';
import { payloadOf } from '../../helpers/tar.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { Bench, fleet } from '../bench.ts';

const [BASE, NEXT] = ['1.1.0', '1.2.0'];

/** Noise that gzip cannot make smaller, the same each time. */
function noise(bytes: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(bytes / 32) }, (_, at) =>
    Buffer.from(sha256Hex(Buffer.from(`delta ${at}`)), 'hex'),
  );
  return Buffer.concat(blocks).subarray(0, bytes);
}
const DATA = noise(400_000);

const payloadFor = async (version: string): Promise<Uint8Array> =>
  new Uint8Array(
    await payloadOf([
      { name: 'VERSION.txt', body: `${version}\n` },
      { name: 'bin', type: 'directory', mode: 0o755 },
      { name: 'bin/run', body: `#!/bin/sh\necho ${version}\n`, mode: 0o755 },
      { name: 'data', body: DATA },
    ]),
  );

interface Chance {
  /** Stands in for the delta's bytes; signed all the same. */
  readonly patch?: (right: Uint8Array) => Uint8Array;
  readonly program?: PatchProgram | null;
  /** The version that the delta says it is from. */
  readonly from?: string;
  /** The index of its chunks is none. */
  readonly isUnavailable?: boolean;
  /** The free space that the disk reports. */
  readonly freeBytes?: number;
}

/** A robot that runs BASE, and NEXT announced with a delta from it. */
async function updated(t: TestContext, chance: Chance = {}) {
  const program = chance.program === undefined ? zstdProgram('zstd') : chance.program;
  const { freeBytes } = chance;
  const free = async () => ({ bytes: freeBytes ?? 0, inodes: null });
  const disk = freeBytes === undefined ? {} : { disk: { ...realDisk, free } };
  const bench = await Bench.open(t, { patchProgram: program, ...disk });
  const [basePayload, payload] = [await payloadFor(BASE), await payloadFor(NEXT)];
  bench.announce(await fleet.makeBundle({ version: BASE, payload: basePayload }), BASE);
  await bench.runs(BASE);
  const right = await patchBetween(gunzipSync(basePayload), gunzipSync(payload));
  const patch = chance.patch?.(right) ?? right;
  const from = { version: chance.from ?? BASE, payload: basePayload };
  const delta = await makeDelta(from, payload, patch);
  const bundle = await fleet.makeBundle({ version: NEXT, payload, manifest: delta.manifest });
  const noIndex = utf8('not an index');
  const chunks = new Map([...bundle.chunks, ...delta.chunks, [sha256Hex(noIndex), noIndex]]);
  const index = chance.isUnavailable ? { chunk_index: sha256Hex(noIndex) } : {};
  const artifacts = [bundle.artifact, { ...delta.artifact, ...index }];
  const asked = new Set<string>();
  bench.carrier.answers = (hash) => asked.add(hash).size > 0;
  /** Numbers of requested chunks of the full payload and of the delta. */
  const counts = () => ({
    full: [...bundle.chunks.keys()].filter((hash) => asked.has(hash)).length,
    delta: [...delta.chunks.keys()].filter((hash) => asked.has(hash)).length,
  });
  const announce = () => bench.announce({ ...bundle, chunks }, NEXT, { artifacts });
  return { bench, announce, counts, patchChunks: delta.chunks.size };
}

const dataOf = (bench: Bench, version: string): Promise<Buffer> =>
  readFile(join(bench.root, 'releases', version, 'data'));

describe('an update by a delta', () => {
  it('[P-12.3] fetches the delta and nothing of the payload, and installs the same tree', async (t) => {
    const { bench, announce, counts, patchChunks } = await updated(t);
    announce();
    await bench.runs(NEXT);
    assert.deepEqual(counts(), { full: 0, delta: patchChunks });
    assert.deepEqual(await dataOf(bench, NEXT), Buffer.from(DATA));
    const run = await readFile(join(bench.root, 'releases', NEXT, 'bin/run'), 'utf8');
    assert.equal(run, `#!/bin/sh\necho ${NEXT}\n`);
    assert.deepEqual(bench.codes, []);
    const { lastUpdate } = bench.component.view.state;
    assert.equal(lastUpdate?.deltaFrom, BASE);
    assert.ok((lastUpdate?.bytes ?? Infinity) < 10_000, `${lastUpdate?.bytes} bytes`);
  });

  it('can be patched from itself the next time: a delta leaves a base like a payload', async (t) => {
    const { bench, announce } = await updated(t);
    announce();
    await bench.runs(NEXT);
    const [from, payload] = [await payloadFor(NEXT), await payloadFor('1.3.0')];
    const delta = await makeDelta({ version: NEXT, payload: from }, payload);
    const made = await fleet.makeBundle({ version: '1.3.0', payload, manifest: delta.manifest });
    const chunks = new Map(delta.chunks); // nothing else could be fetched
    bench.announce({ ...made, chunks }, '1.3.0', { artifacts: [made.artifact, delta.artifact] });
    await bench.runs('1.3.0');
    assert.equal(bench.component.view.state.lastUpdate?.deltaFrom, NEXT);
    // Recipes go with their releases; of a staging folder nothing is left.
    const left = () =>
      Promise.all(['bases', 'staging'].map((one) => readdir(join(bench.root, one))));
    await waitUntil('what is over to be removed', async () => {
      return JSON.stringify(await left()) === JSON.stringify([[NEXT, '1.3.0'], []]);
    });
  });

  it('goes on after a power cut in mid-patch, with what was downloaded', async (t) => {
    const { bench, announce, counts } = await updated(t);
    let hangs = 0;
    bench.gate = ({ name, path }) => {
      if (name !== 'write' || !path.endsWith('/payload.tar') || hangs > 0) return;
      hangs += 1;
      return bench.forever();
    };
    announce();
    await waitUntil('the patch to be under way', () => hangs > 0);
    await bench.cutPower();
    await bench.runs(NEXT);
    assert.equal(counts().full, 0);
    assert.deepEqual(bench.codes, []);
    assert.equal(bench.component.view.state.lastUpdate?.deltaFrom, BASE);
  });

  it('is given up when the power goes in mid-patch every time', async (t) => {
    const { bench, announce, counts } = await updated(t);
    let hangs = 0;
    bench.gate = ({ path }) => {
      if (!path.endsWith('/payload.tar')) return;
      hangs += 1;
      return bench.forever();
    };
    announce();
    for (let cut = 0; cut <= LIMITS.patchStartsMax; cut += 1) {
      await waitUntil('the patch to be under way', () => hangs > cut);
      await bench.cutPower();
    }
    await bench.runs(NEXT);
    assert.deepEqual(bench.codes, ['DELTA_INTERRUPTED']);
    assert.ok(counts().full > 1);
  });
});

/** Every way in which a delta can be of no use, and the code of it. */
const FAILURES: Readonly<Record<string, [code: string, chance: Chance]>> = {
  'whose bytes are not a delta at all': ['DELTA_INVALID', { patch: () => noise(3_000) }],
  'whose frame is damaged': ['ZSTD_FAILED', { patch: damaged }],
  'that unpacks to more than its plan says': ['DELTA_INVALID', { patch: bomb }],
  'that unpacks to less than its plan says': ['DELTA_INVALID', { patch: starved }],
  'that makes another tar than the signed one': ['DELTA_RESULT_WRONG', { patch: crossed }],
  'for which zstd is gone': ['ZSTD_MISSING', { program: zstdProgram('/nowhere/zstd') }],
  'that cannot be had': ['CHUNK_INDEX_INVALID', { isUnavailable: true }],
  'with a zstd that fails': ['ZSTD_FAILED', { program: zstdProgram('false') }],
};

/** The frame does not begin as one. */
function damaged(right: Uint8Array): Uint8Array {
  const bytes = right.slice();
  const at = patchHeadBytes(right);
  bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  return bytes;
}

/** The same frames under another plan. */
function replanned(
  right: Uint8Array,
  change: (freshBytes: number, copyBytes: number) => [number, number],
): Uint8Array {
  const headBytes = patchHeadBytes(right);
  const plan = parsePatchHead(right.subarray(0, headBytes), right.byteLength);
  const [segment] = plan.segments;
  assert.ok(segment);
  const steps = segment.steps.map((step, nth) => {
    if (nth > 0) return step;
    const [freshBytes, bytes] = change(step.freshBytes, step.copy.bytes);
    return { freshBytes, copy: { at: step.copy.at, bytes } };
  });
  const head = encodePatchHead({ ...plan, segments: [{ ...segment, steps }] });
  return new Uint8Array(Buffer.concat([head, right.subarray(headBytes)]));
}

function bomb(right: Uint8Array): Uint8Array {
  return replanned(right, (fresh, copy) => [fresh - 1, copy + 1]);
}
function starved(right: Uint8Array): Uint8Array {
  return replanned(right, (fresh, copy) => [fresh + 1, copy - 1]);
}
/** A copy from one byte further down. */
function crossed(right: Uint8Array): Uint8Array {
  const headBytes = patchHeadBytes(right);
  const plan = parsePatchHead(right.subarray(0, headBytes), right.byteLength);
  const segments = plan.segments.map((segment) => ({
    ...segment,
    steps: segment.steps.map(({ freshBytes, copy }) => ({
      freshBytes,
      copy: copy.bytes > 0 ? { at: copy.at - 1, bytes: copy.bytes } : copy,
    })),
  }));
  const head = encodePatchHead({ ...plan, segments });
  return new Uint8Array(Buffer.concat([head, right.subarray(headBytes)]));
}

describe('a robot takes the full payload, once and with the reason told, for a delta', () => {
  for (const [what, [code, chance]] of Object.entries(FAILURES)) {
    it(`[P-12.4] ${what}`, async (t) => {
      const { bench, announce, counts } = await updated(t, chance);
      announce();
      await bench.runs(NEXT);
      assert.deepEqual(bench.codes, [code]);
      assert.ok(counts().full > 1, JSON.stringify(counts()));
      assert.deepEqual(await dataOf(bench, NEXT), Buffer.from(DATA));
      assert.equal(bench.component.view.state.lastUpdate?.deltaFailed, code);
      const lines = explainComponent(bench.component.view, Date.now());
      assert.ok(
        lines.some((line) => line.includes(`delta_failed: ${code}`)),
        lines.join('\n'),
      );
    });
  }

  it('[P-12.4] from a release that the application wrote into, before any of it is fetched', async (t) => {
    const { bench, announce, counts } = await updated(t);
    await writeFile(join(bench.root, 'releases', BASE, 'VERSION.txt'), '1.1.1\n');
    announce();
    await bench.runs(NEXT);
    assert.deepEqual(bench.codes, ['DELTA_BASE_CHANGED']);
    assert.equal(counts().delta, 0);
  });

  it('and says nothing where there is room for the payload and not for patching', async (t) => {
    const { bench, announce, counts } = await updated(t, { freeBytes: 2 * LIMITS.diskSpareBytes });
    announce();
    await bench.runs(NEXT);
    assert.deepEqual(bench.codes, []);
    assert.equal(counts().delta, 0);
  });

  it('and says nothing where there is no base to patch from, or no zstd', async (t) => {
    const without = await updated(t);
    await rm(join(without.bench.root, 'bases'), { recursive: true });
    without.announce();
    await without.bench.runs(NEXT);
    assert.deepEqual(without.bench.codes, []);
    assert.equal(without.counts().delta, 0);

    const unable = await updated(t, { program: null });
    unable.announce();
    await unable.bench.runs(NEXT);
    assert.deepEqual(unable.bench.codes, []);
    assert.equal(unable.counts().delta, 0);

    const other = await updated(t, { from: '0.9.0' });
    other.announce();
    await other.bench.runs(NEXT);
    assert.equal(other.counts().delta, 0);
  });
});
