/**
 * Neither `recover` nor the start and clean-up of an agent nor `adopt` may take away what boots, or
 * what can be gone back to, on any generated root (root-worlds.ts).
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  stat,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { adoptRoots } from '../../../robot-client/commands/adopt-roots.ts';
import { Component } from '../../../robot-client/component.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import type { PullLink } from '../../../robot-client/update/download.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { recoverComponent } from '../../../robot-client/recover/recover.ts';
import { checkRelease } from '../../../robot-client/install/seal-check.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { requireBlockDevices } from '../../helpers/block-device.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { makeWorld } from '../world.ts';
import { PHASES } from '../../../shared/formats/messages.ts';
import {
  build,
  makeSpecials,
  mountedWorlds,
  NEW,
  OLD,
  Stage,
  worlds,
  type STEPS,
  type World,
} from '../install/root-worlds.ts';

const RUNS = 30;
/** Each has several mounts. */
const MOUNTED_RUNS = 6;
/** Lengths of each state file, spread evenly. */
const CUTS = 3;

/** One hash over names, kinds, link texts and bytes; null when there is no folder. */
async function treeHash(path: Buffer): Promise<string | null> {
  const found = await lstat(path).catch(() => null);
  if (!found?.isDirectory()) return null;
  const hash = createHash('sha256');
  for (const name of (await readdir(path, { encoding: 'buffer' })).sort(Buffer.compare)) {
    const below = Buffer.concat([path, Buffer.from('/'), name]);
    const { mode } = await lstat(below);
    const kind = (mode & 0o170000).toString(8);
    const content = await contentOf(below, kind);
    hash.update(JSON.stringify([name.toString('hex'), kind, content]));
  }
  return hash.digest('hex');
}

/** Nothing is read of a socket, a FIFO or a device: it is there, and of its kind. */
async function contentOf(path: Buffer, kind: string): Promise<string | null> {
  if (kind === '40000') return await treeHash(path);
  if (kind === '120000') return await readlink(path);
  return kind === '100000' ? await readFile(path, 'hex') : '';
}

const hashAt = (path: string): Promise<string | null> => treeHash(Buffer.from(path));

interface Boots {
  readonly path: string;
  readonly hash: string;
}

async function resolved(path: string): Promise<Boots | null> {
  const end = await realpath(path).catch(() => null);
  const hash = end === null ? null : await hashAt(end);
  return end === null || hash === null ? null : { path: end, hash };
}

interface Before {
  readonly active: Boots | null;
  readonly rollback: Boots | null;
  /** Trees that a rule may lead to, with their bytes. */
  readonly good: readonly string[];
  readonly outside: string | null;
  /** The boot of the other component, whose root leads through this one. */
  readonly neighbour: Boots | null;
  /** Versions whose release has all its bytes and rights; and those that a seal or recipe says so of. */
  readonly whole: readonly string[];
  readonly known: readonly string[];
}

async function lookAt(root: string): Promise<Before> {
  const trees = [OLD, NEW].map((version) => hashAt(join(root, 'releases', version)));
  const rollback = await resolved(join(root, 'rollback'));
  const good = [...(await Promise.all(trees)), rollback?.hash ?? null];
  const [whole, known]: [string[], string[]] = [[], []];
  for (const version of [OLD, NEW]) {
    if (!(await isWhole(root, version))) continue;
    whole.push(version);
    const tree = join(root, 'releases', version);
    const input = { version, tree, mayHash: () => true, known: new Set<string>() };
    const { kind } = await checkRelease(realDisk, layoutOf(root), input);
    if (kind === 'whole') known.push(version);
  }
  return {
    whole,
    known,
    active: await resolved(join(root, 'active')),
    rollback,
    good: good.filter((hash) => hash !== null),
    outside: await hashAt(join(root, '../outside')),
    neighbour: await resolved(join(root, '../neighbour/active')),
  };
}

async function isWhole(root: string, version: string): Promise<boolean> {
  const program = join(root, 'releases', version, 'bin/run');
  const { mode } = await stat(program).catch(() => ({ mode: 0 }));
  return (mode & 0o400) !== 0 && (await readFile(program, 'utf8')) === `echo ${version}`;
}

/** @throws AssertionError when something was taken away that a robot could boot */
async function check(root: string, before: Before, world: World): Promise<void> {
  const after = await lookAt(root);
  assert.equal(after.outside, before.outside, 'what lies outside is as it was');
  for (const path of world.foreign) {
    assert.ok(await lstat(join(root, path)).catch(() => null), `${path} was not made by Drover`);
  }
  if (before.neighbour !== null) {
    const { hash } = after.neighbour ?? {};
    const good = [before.neighbour.hash, ...before.good];
    assert.ok(hash && good.includes(hash), 'what another component boots is as it was');
  }
  // A release that was adopted from outside is whole by a seal of its own.
  const isOfOurs = [OLD, NEW].includes(basename(after.active?.path ?? OLD));
  if (before.known.length > 0 && isOfOurs) {
    assert.notEqual(after.whole.length, 0, 'a whole release is left');
  }
  // With both links gone what is whole stays: one of them is what ran, and the state may name none.
  const isGone =
    before.active === null && before.rollback === null && !world.steps.includes('adopt');
  if (isGone && ['idle', 'missing', 'empty', 'junk'].includes(world.state)) {
    const isLeft = (version: string): boolean => after.whole.includes(version);
    assert.ok(before.known.every(isLeft), 'with both links gone, each whole release is left');
  }
  if (before.active === null) return;
  assert.ok(after.active, 'active leads somewhere, as before');
  if (after.active.hash !== before.active.hash) {
    assert.ok(before.good.includes(after.active.hash), 'active leads to a release that was there');
    return; // a rule took the robot there: what it left may be collected
  }
  if (before.rollback === null) return;
  const kept = await hashAt(before.rollback.path);
  const moved = after.rollback?.hash === before.rollback.hash;
  assert.ok(kept === before.rollback.hash || moved, 'rollback has its bytes');
}

/** Of the robot: also of the other component, where there is one. */
function rootsOf(root: string): string[] {
  const neighbour = join(root, '../neighbour');
  return existsSync(neighbour) ? [root, neighbour] : [root];
}

/** Up, and without an answer: a download begins and waits. */
const SILENT_LINK: PullLink = {
  isUp: true,
  attach: () => () => {},
  subscribeChunks: () => {},
  unsubscribeChunks: () => {},
  wantChunks: () => {},
};

async function runAgent(root: string): Promise<void> {
  let rests = 0;
  const component = new Component({
    component: 'app',
    layout: layoutOf(root, rootsOf(root)),
    disk: realDisk,
    link: SILENT_LINK,
    trust: makeWorld().trust,
    hooksFolder: join(root, 'hooks'),
    bytesPerSecondMax: null,
    bootsMax: 3,
    adoptVersion: '0.0.0',
    facts: { robot: 'r1' as never, arch: 'x86_64', tags: [] },
    log: makeLog('roots', 'silent'),
    now: () => Date.now(),
    onChange: () => {},
    tell: () => Promise.resolve(),
    wantPackage: () => {},
    onIdle: () => {
      rests += 1;
    },
  });
  try {
    await component.open();
    // A rollback that failed once sleeps before the next try, and is let go of there.
    const isOver = (): boolean => {
      const { state, live } = component.view;
      const waits = ['stuck', 'downloading', 'waiting'].includes(state.phase);
      const hasFailed = live.refusal !== null || (state.job?.rollbackAttempts ?? 0) > 0;
      return rests > 0 || waits || hasFailed;
    };
    await waitUntil('the agent to rest', isOver, { timeoutMs: 20_000 });
  } finally {
    await component.close();
  }
}

async function take(step: (typeof STEPS)[number], root: string): Promise<void> {
  if (step === 'agent') return await runAgent(root);
  try {
    if (step === 'adopt') {
      const names = ['app', 'other'];
      const roots = rootsOf(root).map((one, nth) => ({ component: names[nth] ?? '', root: one }));
      return void (await adoptRoots({ disk: realDisk, roots, version: '0.0.0', isDryRun: false }));
    }
    await recoverComponent({
      ...{ component: 'app', root, disk: realDisk, hooksFolder: join(root, 'hooks') },
      ...{ bootsMax: 3, adoptVersion: '0.0.0', siblings: rootsOf(root) },
    });
  } catch (thrown) {
    if (!(thrown instanceof DroverError)) throw thrown; // refused, and said
  }
}

/** In memory where there is such a place: hundreds of worlds, each with dozens of fsyncs. */
async function manyFolders(t: TestContext): Promise<string> {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = await mkdtemp(join(base, 'drover-roots-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function holds(folder: string, world: World): Promise<void> {
  const specials = join(folder, 'specials');
  if (!existsSync(specials)) {
    await mkdir(specials);
    makeSpecials(specials);
  }
  const stage = new Stage(specials);
  const own = await mkdtemp(join(folder, 'w'));
  try {
    const root = await build(own, world, stage);
    for (const step of world.steps) {
      const before = await lookAt(root);
      await take(step, root);
      await check(root, before, world);
    }
  } finally {
    stage.tearDown();
    await rm(own, { recursive: true, force: true });
  }
}

const PLAIN: World = {
  ...{ active: 'releases/V', rollback: 'releases/V', activeVersion: NEW, records: 'seal' },
  ...{ state: 'idle', cutAt: null, hooks: null, mounts: 'none', leftovers: [], foreign: [] },
  ...{ neighbour: null, odd: [], losses: [], steps: ['recover', 'agent'] },
};

describe('a root that Drover did not make', () => {
  it('keeps what boots through starts, clean-ups, recoveries and adoptions', async (t) => {
    const folder = await manyFolders(t);
    const property = fc.asyncProperty(worlds, (world) => holds(folder, world));
    await fc.assert(property, { numRuns: RUNS });
  });

  it('keeps what boots when releases or slots are bind mounts, and files cannot be removed', async (t) => {
    if (!requireBlockDevices(t, ['mount', 'umount'])) return;
    const folder = await manyFolders(t);
    const property = fc.asyncProperty(mountedWorlds, (world) => holds(folder, world));
    await fc.assert(property, { numRuns: MOUNTED_RUNS });
  });

  it('keeps what is whole when both links are gone, whatever is left of the state', async (t) => {
    const folder = await manyFolders(t);
    const gone = fc.record({
      losses: fc.subarray(['seal of active', 'file of active', 'file of rollback'] as const),
      state: fc.constantFrom('idle', 'missing', 'empty', 'junk'),
      records: fc.constantFrom('seal', 'none'),
      steps: fc.array(fc.constantFrom('recover', 'agent'), { minLength: 1, maxLength: 4 }),
    });
    const property = fc.asyncProperty(gone, ({ losses, ...rest }) =>
      holds(folder, { ...PLAIN, ...rest, losses: [...losses, 'link active', 'link rollback'] }),
    );
    await fc.assert(property, { numRuns: RUNS / 2 });
  });

  it('keeps the last whole release while a way back was only found there', async (t) => {
    const folder = await manyFolders(t);
    const world: World = {
      ...{ ...PLAIN, active: 'absent', rollback: 'folder', losses: ['file of active'] },
      ...{ state: 'rolling_back', activeVersion: OLD, steps: ['recover', 'adopt', 'agent'] },
    };
    await holds(folder, world);
  });

  it('keeps what boots wherever the state file of a phase is cut', async (t) => {
    const folder = await manyFolders(t);
    for (const state of PHASES.filter((phase) => phase !== 'idle')) {
      for (let cut = 0; cut < CUTS; cut += 1) {
        const cutAt = Math.floor((1000 * cut) / CUTS);
        await holds(folder, { ...PLAIN, state, cutAt });
      }
    }
  });

  it('keeps what boots when a slot leads through another slot, in each phase', async (t) => {
    const folder = await manyFolders(t);
    const over = { active: 'rollback', rollback: 'releases/V', leftovers: ['active.new' as const] };
    const ways = [
      over,
      { ...over, active: 'rollback/../V' },
      { ...over, active: 'active.new' },
      { ...over, active: 'releases/O/../V', rollback: 'absent' },
      { ...over, active: 'releases/V', rollback: 'active' },
      { ...over, active: 'releases/V', neighbour: 'rollback' as const },
      { ...over, active: 'releases/V', neighbour: 'active' as const },
    ];
    for (const way of ways) {
      for (const state of [...PHASES, 'missing' as const]) {
        for (const hooks of [null, 'health 70' as const]) {
          await holds(folder, { ...PLAIN, ...way, state, hooks });
        }
      }
    }
  });

  it('is checked by a judge that sees a release go', async (t) => {
    const world: World = { ...PLAIN, active: 'ROOT/releases/V', rollback: 'absent' };
    const root = await build(await manyFolders(t), world, new Stage(await manyFolders(t)));
    const before = await lookAt(root);
    await rm(join(root, 'releases', NEW), { recursive: true });
    await assert.rejects(check(root, before, world), /active leads somewhere/);
  });
});
