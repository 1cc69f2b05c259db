/**
 * System images by a delta from the slot that runs: the real component on the real disk, files in
 * place of the slots, and a boot loader in memory. When the slot or the delta is damaged, the full
 * image comes instead, and the robot reports the reason.
 */

import assert from 'node:assert/strict';
import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { explainComponent } from '../../../robot-client/local/explain.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import type { PatchProgram } from '../../../shared/base/ports.ts';
import { sha256Hex } from '../../../shared/crypto/hash.ts';
import { zstdProgram } from '../../../shared/io/zstd.ts';
import type { PatchCoding } from '../../../shared/transfer/patch-plan.ts';
import { deltaBetween } from '../../helpers/delta.ts';
import { seedOfRun } from '../../helpers/run-seed.ts';
import { Share } from '../../helpers/share.ts';
import { payloadOf } from '../../helpers/tar.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { fleet, OLD } from '../bench.ts';
import { isChange, type DiskOperation } from '../faulty-disk.ts';
import { A, B } from '../boot/boot-loaders.ts';
import { IMAGE_BYTES, NEW, restart, robotWith, type Robot } from '../slot-robot.ts';

/** Noise that gzip cannot make smaller, then zeroes, with a little that each version has alone. */
function imageOf(version: string): Buffer {
  const noise = Array.from({ length: 5_000 }, (_, at) =>
    Buffer.from(sha256Hex(Buffer.from(`slot ${at}`)), 'hex'),
  );
  const image = Buffer.alloc(IMAGE_BYTES);
  Buffer.concat(noise).copy(image);
  image.write(`system ${version}`, 100_000);
  image.write(`system ${version}`, 300_000);
  return image;
}

interface Chance {
  readonly coding?: PatchCoding;
  /** Stands in for the delta's bytes; signed all the same. */
  readonly patch?: Uint8Array;
  readonly program?: PatchProgram | null;
  /** The free space that the disk reports. */
  readonly freeBytes?: number;
  /** Changes the robot before the announcement. */
  readonly before?: (robot: Robot) => Promise<void>;
}

/** The deltas of the two images, which all tests share. */
const made: Partial<Record<PatchCoding, Uint8Array>> = {};

async function updated(t: TestContext, chance: Chance = {}) {
  const { coding = 'add', patch, freeBytes } = chance;
  const program = chance.program === undefined ? zstdProgram('zstd') : chance.program;
  const free = async () => ({ bytes: freeBytes ?? 0, inodes: null });
  const disk = freeBytes === undefined ? {} : { disk: { ...realDisk, free } };
  const more = { patchProgram: program, ...disk };
  const robot = await robotWith(t, { image: imageOf(OLD), more });
  await chance.before?.(robot);
  const image = imageOf(NEW);
  const base = { version: OLD, bytes: imageOf(OLD) };
  made[coding] ??= (await deltaBetween(base, image, { coding })).patch;
  const delta = await deltaBetween(base, image, { coding, patch: patch ?? made[coding] });
  const facts = { size: image.byteLength, sha256: sha256Hex(image) };
  const payload = await payloadOf([{ name: 'image', body: image }]);
  const strategy = { apply_strategy: 'slot_image', image: facts };
  const manifest = { ...strategy, ...delta.manifest };
  const bundle = await fleet.makeBundle({ version: NEW, payload, manifest });
  const chunks = new Map([...bundle.chunks, ...delta.chunks]);
  const asked = new Set<string>();
  robot.bench.carrier.answers = (hash) => asked.add(hash).size > 0;
  const counts = () => ({
    full: [...bundle.chunks.keys()].filter((hash) => asked.has(hash)).length,
    delta: [...delta.chunks.keys()].filter((hash) => asked.has(hash)).length,
  });
  const artifacts = [bundle.artifact, delta.artifact];
  const announce = (): void => robot.bench.announce({ ...bundle, chunks }, NEW, { artifacts });
  return { robot, announce, counts, delta };
}

async function assertBooted({ bench, machine, slot }: Robot): Promise<void> {
  await bench.runs(NEW);
  assert.equal(machine.running, B);
  assert.deepEqual(machine.mark, { confirmed: B, other: '+' });
  assert.ok((await slot('B')).subarray(0, IMAGE_BYTES).equals(imageOf(NEW)));
}

/** While the delta is applied: its file is opened in phase `staging`. */
const isPatching = ({ bench }: Robot, { name, path }: DiskOperation): boolean =>
  bench.component.view.state.phase === 'staging' && name === 'look' && path.includes('/patch-');

describe('an update by a delta from the slot that runs', () => {
  for (const coding of ['zstd', 'add'] as const) {
    it(`[P-12.8] fetches nothing of the image, and writes nothing of it to the data disk (${coding})`, async (t) => {
      // Zeroes of the image go over what another system left there, and nothing behind the image.
      const held = async ({ machine }: Robot): Promise<void> =>
        await writeFile(machine.devices['B'] ?? '', Buffer.alloc(IMAGE_BYTES + 5_000, 7));
      const { robot, announce, counts, delta } = await updated(t, { coding, before: held });
      const written = new Set<string>();
      robot.bench.gate = ({ name, path }) => void (name === 'write' && written.add(path));
      const before = await robot.slot('A');
      announce();
      await assertBooted(robot);
      assert.deepEqual(counts(), { full: 0, delta: delta.chunks.size });
      assert.deepEqual(robot.bench.codes, []);
      assert.ok((await robot.slot('A')).equals(before), 'the base is never written');
      const behind = (await robot.slot('B')).subarray(IMAGE_BYTES);
      assert.ok(behind.equals(Buffer.alloc(5_000, 7)));
      assert.ok(![...written].some((path) => /payload/.test(path)), [...written].join('\n'));
      const { lastUpdate } = robot.bench.component.view.state;
      assert.equal(lastUpdate?.deltaFrom, OLD);
      assert.equal(lastUpdate.bytes, delta.patch.byteLength);
      assert.ok(lastUpdate.bytes < 4_000, `${lastUpdate.bytes} bytes`);
    });
  }

  it('goes on after a power cut while the slot is written, with what was downloaded', async (t) => {
    const { robot, announce, counts } = await updated(t);
    const { bench, machine } = robot;
    let hangs = 0;
    bench.gate = (operation) => {
      if (!isPatching(robot, operation) || machine.mark.other !== 'x' || hangs > 0) return;
      hangs += 1;
      return bench.forever();
    };
    announce();
    await waitUntil('the slot to be written', () => hangs > 0);
    await bench.cutPower();
    await assertBooted(robot);
    assert.equal(counts().full, 0);
    assert.deepEqual(bench.codes, []);
  });
});

async function flip(path: string, atByte: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = new Uint8Array(1);
  await file.read(byte, 0, 1, atByte);
  await file.write(Uint8Array.of((byte[0] ?? 0) ^ 1), 0, 1, atByte);
  await file.close();
}

const deviceA = ({ machine }: Robot): string => machine.devices['A'] ?? '';
const recordA = ({ bench }: Robot): string => join(bench.root, 'system-slots', A);

/** Every way in which a delta can be of no use, and the code of it. */
const FAILURES: Readonly<Record<string, [code: string, chance: Chance]>> = {
  'from a slot in which one bit changed': [
    'DELTA_BASE_CHANGED',
    { before: (robot) => flip(deviceA(robot), IMAGE_BYTES - 1) },
  ],
  'from a slot whose record is lost': [
    'DELTA_BASE_UNUSABLE',
    { before: (robot) => rm(recordA(robot)) },
  ],
  'from a slot that is shorter than its record says': [
    'DELTA_BASE_UNUSABLE',
    { before: (robot) => truncate(deviceA(robot), 100_000) },
  ],
  'from a slot whose device is missing': [
    'DELTA_BASE_UNUSABLE',
    { before: (robot) => rm(deviceA(robot)) },
  ],
  'whose bytes are not a delta at all': [
    'DELTA_INVALID',
    { patch: Buffer.from(`no delta ${'-'.repeat(500)}`) },
  ],
  'for which zstd is gone': [
    'ZSTD_MISSING',
    { coding: 'zstd', program: zstdProgram('/nowhere/zstd') },
  ],
  'with a zstd that fails': ['ZSTD_FAILED', { coding: 'zstd', program: zstdProgram('false') }],
  'for which the disk has no room': [
    'DISK_SPACE_SHORT',
    { coding: 'zstd', freeBytes: 2 * LIMITS.diskSpareBytes },
  ],
};

describe('a robot takes the full image, once and with the reason told, for a delta', () => {
  for (const [what, [code, chance]] of Object.entries(FAILURES)) {
    it(`[P-12.8] ${what}`, async (t) => {
      const { robot, announce, counts } = await updated(t, chance);
      announce();
      await assertBooted(robot);
      const { view } = robot.bench.component;
      // Without a record the content of the slot is unknown: that is reported as well.
      const codes = robot.bench.codes.filter((one) => one !== 'BOOT_VERSION_UNKNOWN');
      assert.deepEqual(codes, [code]);
      assert.ok(counts().full > 0);
      assert.equal(view.state.lastUpdate?.deltaFailed, code);
      const lines = explainComponent(view, Date.now());
      const isTold = lines.some((line) => line.includes(`delta_failed: ${code}`));
      assert.ok(isTold, lines.join('\n'));
    });
  }

  it('that makes another image than the signed one, whatever stands in the slot then', async (t) => {
    const other = imageOf(NEW);
    other.write('and more', 120_000);
    const base = { version: OLD, bytes: imageOf(OLD) };
    const { patch } = await deltaBetween(base, other, { coding: 'add' });
    const { robot, announce, counts } = await updated(t, { patch });
    announce();
    await assertBooted(robot);
    assert.deepEqual(robot.bench.codes, ['DELTA_RESULT_WRONG']);
    assert.ok(counts().full > 0);
  });

  it('and says nothing where it has no zstd for this one', async (t) => {
    const { robot, announce, counts } = await updated(t, { coding: 'zstd', program: null });
    announce();
    await assertBooted(robot);
    assert.deepEqual(robot.bench.codes, []);
    assert.equal(counts().delta, 0);
  });

  it('and blames no delta when the device of the other slot fails', async (t) => {
    const { robot, announce, counts } = await updated(t);
    const { bench, machine } = robot;
    bench.onPhase = (phase) => {
      if (phase === 'staging') machine.devices = { ...machine.devices, B: '/dev/null' };
    };
    announce();
    await waitUntil('the refusal', () => bench.codes.includes('BOOT_DEVICE_WRONG'));
    assert.equal(counts().full, 0);
    assert.equal(bench.component.view.state.deltaFailures.length, 0);
    assert.equal(await readFile(recordA(robot), 'utf8').then((text) => text.includes(OLD)), true);
  });
});

/** Of so many points one is cut in each run. */
const ONE_IN = 20;

/**
 * An update with the power cut at one change of the disk or of the boot side, from the checks of
 * the delta to the record of the slot. @returns the names of the points that it came by
 */
async function updateWithCut(t: TestContext, cutAt: number | null): Promise<string[]> {
  const { robot, announce, counts } = await updated(t);
  const { bench, machine } = robot;
  const before = await robot.slot('A');
  const points: string[] = [];
  const cutHere = (name: string): void => {
    const { phase } = bench.component.view.state;
    if (phase !== 'verifying' && phase !== 'staging') return;
    points.push(`${phase} ${name}`);
    if (points.length - 1 !== cutAt) return;
    setImmediate(() => void restart(robot));
    throw new Error('the power is off');
  };
  machine.onChange = () => {
    cutHere('boot side');
    return undefined;
  };
  bench.gate = (operation) => {
    if (isChange(operation)) cutHere(operation.name);
  };
  announce();
  await assertBooted(robot);
  const at = `cut at ${cutAt}: ${points[cutAt ?? 0]}`;
  assert.deepEqual([bench.codes, counts().full], [[], 0], at);
  assert.ok((await robot.slot('A')).equals(before), at);
  return points;
}

describe('a power cut', () => {
  it('anywhere from the checks of a delta to the record of the slot ends on the new version', async (t) => {
    const points = await updateWithCut(t, null);
    assert.ok(points.length > 10, points.join('\n'));
    const share = new Share(ONE_IN, seedOfRun());
    const named = points.map((name, at) => ({ name, at }));
    for (const { at } of share.of(named, ({ name }) => name)) await updateWithCut(t, at);
    t.diagnostic(share.said);
  });
});
