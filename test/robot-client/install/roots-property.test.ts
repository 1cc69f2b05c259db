/**
 * Generated roots, most of which Drover never made: links in every spelling, foreign files, states
 * that are lost or damaged, leftovers. Neither `recover` nor the start and clean-up of an agent may
 * take away what boots.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, readlink, realpath, rm, symlink } from 'node:fs/promises';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { Component } from '../../../robot-client/component.ts';
import { layoutOf } from '../../../robot-client/install/layout.ts';
import { encodeMachineState, freshState, makeJob } from '../../../robot-client/update/state.ts';
import type { PullLink } from '../../../robot-client/update/download.ts';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { recoverComponent } from '../../../robot-client/install/recover.ts';
import { verifyBundle } from '../../../shared/formats/bundle-signature.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { waitUntil } from '../../helpers/wait-until.ts';
import { announce, makeRollout, makeWorld, NOW } from '../world.ts';

const RUNS = 40;
const [OLD, NEW] = ['1.0.0', '1.1.0'];

/** Text of a link, or what stands there instead of one; `ROOT` stands for the root. */
const SPELLINGS = [
  'absent',
  'folder',
  'file',
  'releases/V',
  './releases/V',
  'releases/V/',
  'releases//V//',
  'releases/../releases/V',
  'ROOT/releases/V',
  'current-V',
  'releases/alias-V',
  '../outside',
  'releases/9.9.9',
  'nowhere',
  'active',
] as const;
const RECORDS = ['seal', 'recipe', 'none'] as const;
const STATES = [
  'missing',
  'empty',
  'junk',
  'folder',
  'idle',
  'swapping',
  'probation',
  'rolling_back',
] as const;
const LEFTOVERS = [
  'active.new',
  'rollback.new',
  'staging/0123456789abcdef0123456789abcdef/tree/file',
  'staging/notes',
  'releases/backup-of-kim/file',
  'releases/2.0.0/file',
  'releases/notes.txt',
  'state/adopting.json',
  'state/machine.json.corrupt',
  'my-config.yaml',
] as const;

const worlds = fc.record({
  active: fc.constantFrom(...SPELLINGS),
  rollback: fc.constantFrom(...SPELLINGS),
  activeVersion: fc.constantFrom(OLD, NEW),
  records: fc.constantFrom(...RECORDS),
  state: fc.constantFrom(...STATES),
  leftovers: fc.subarray([...LEFTOVERS]),
  steps: fc.array(fc.constantFrom('recover', 'agent' as const), { minLength: 1, maxLength: 3 }),
});
type World = typeof worlds extends fc.Arbitrary<infer T> ? T : never;

/** A job to NEW with OLD to go back to. */
function stateIn(phase: 'swapping' | 'probation' | 'rolling_back'): Uint8Array {
  const world = makeWorld();
  const rollout = announce(world, [makeRollout(world, { version: NEW })]).rollouts[0];
  const artifact = rollout?.artifacts[0];
  if (!rollout || !artifact) throw new TypeError('no rollout');
  const { manifest: manifestBytes, signature } = rollout;
  const bundle = verifyBundle({ manifestBytes, signatures: [signature], trust: world.trust });
  const job = makeJob({ rollout, artifact, bundle, seq: 7, now: NOW });
  return encodeMachineState({ ...freshState(), phase, job: { ...job, previousVersion: OLD } });
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, text);
}

async function makeSlot(root: string, name: string, given: { spelling: string; version: string }) {
  const { spelling, version } = given;
  const path = join(root, name);
  if (spelling === 'absent') return;
  if (spelling === 'folder') return await put(join(path, 'bin/run'), `plain ${name}`);
  if (spelling === 'file') return await put(path, 'not a link');
  await symlink(spelling.replace('V', version).replace('ROOT', root), path);
}

async function build(folder: string, world: World): Promise<string> {
  const root = join(folder, 'root');
  const layout = layoutOf(root);
  await put(join(folder, 'outside/bin/run'), 'not of Drover');
  for (const version of [OLD, NEW]) {
    const tree = join(layout.releases, version);
    await put(join(tree, 'bin/run'), `echo ${version}`);
    await symlink('bin/run', join(tree, 'start'));
    if (world.records === 'seal') await writeSeal(realDisk, layout, { version, tree });
    if (world.records === 'recipe') await put(join(layout.bases, version), 'recipe');
    await symlink(`releases/${version}`, join(root, `current-${version}`));
    await symlink(version, join(layout.releases, `alias-${version}`));
  }
  const { activeVersion } = world;
  const other = activeVersion === OLD ? NEW : OLD;
  await makeSlot(root, 'active', { spelling: world.active, version: activeVersion });
  await makeSlot(root, 'rollback', { spelling: world.rollback, version: other });
  for (const path of world.leftovers) await put(join(root, path), `{"version":"${path}"}`);
  await mkdir(layout.state, { recursive: true });
  await makeState(layout.machineFile, world.state);
  return root;
}

async function makeState(path: string, state: World['state']): Promise<void> {
  if (state === 'missing') return;
  if (state === 'folder') return await put(join(path, 'file'), 'x');
  if (state === 'empty') return await writeFile(path, '');
  if (state === 'junk') return await writeFile(path, '{"schema":7}');
  await writeFile(path, state === 'idle' ? encodeMachineState(freshState()) : stateIn(state));
}

/** One hash over names, kinds, link texts and bytes; null when there is no folder. */
async function treeHash(path: string): Promise<string | null> {
  const found = await lstat(path).catch(() => null);
  if (!found?.isDirectory()) return null;
  const hash = createHash('sha256');
  for (const name of (await readdir(path)).sort()) {
    const below = join(path, name);
    const { mode } = await lstat(below);
    const kind = (mode & 0o170000).toString(8);
    const content =
      kind === '40000'
        ? await treeHash(below)
        : kind === '120000'
          ? await readlink(below)
          : await readFile(below, 'hex');
    hash.update(JSON.stringify([name, kind, content]));
  }
  return hash.digest('hex');
}

interface Boots {
  readonly path: string;
  readonly hash: string;
}

async function resolved(path: string): Promise<Boots | null> {
  const end = await realpath(path).catch(() => null);
  const hash = end === null ? null : await treeHash(end);
  return end === null || hash === null ? null : { path: end, hash };
}

interface Before {
  readonly active: Boots | null;
  readonly rollback: Boots | null;
  /** Trees that a rule may lead to, with their bytes. */
  readonly good: readonly string[];
  readonly outside: string | null;
}

async function lookAt(root: string): Promise<Before> {
  const trees = [OLD, NEW].map((version) => treeHash(join(root, 'releases', version)));
  const good = (await Promise.all(trees)).filter((hash) => hash !== null);
  return {
    active: await resolved(join(root, 'active')),
    rollback: await resolved(join(root, 'rollback')),
    good,
    outside: await treeHash(join(root, '../outside')),
  };
}

/** @throws AssertionError when something was taken away that a robot could boot */
async function check(root: string, before: Before, world: World): Promise<void> {
  const after = await lookAt(root);
  assert.equal(after.outside, before.outside, 'what lies outside is as it was');
  for (const path of ['releases/backup-of-kim/file', 'staging/notes', 'my-config.yaml']) {
    if (!world.leftovers.some((one) => one === path)) continue;
    assert.ok(await lstat(join(root, path)).catch(() => null), `${path} was not made by Drover`);
  }
  if (before.active === null) return;
  assert.ok(after.active, 'active leads somewhere, as before');
  if (after.active.hash !== before.active.hash) {
    assert.ok(before.good.includes(after.active.hash), 'active leads to a release that was there');
    return; // a rule took the robot there: what it left may be collected
  }
  if (before.rollback === null) return;
  const kept = await treeHash(before.rollback.path);
  const moved = after.rollback?.hash === before.rollback.hash;
  assert.ok(kept === before.rollback.hash || moved, 'rollback has its bytes');
}

const NO_LINK: PullLink = {
  isUp: false,
  listen: () => {},
  subscribe: () => Promise.reject(new Error('no link')),
  unsubscribe: () => Promise.resolve(),
  want: () => Promise.resolve(),
} as unknown as PullLink;

async function runAgent(root: string): Promise<void> {
  let rests = 0;
  const component = new Component({
    component: 'app',
    layout: layoutOf(root),
    disk: realDisk,
    link: NO_LINK,
    trust: makeWorld().trust,
    hooksFolder: join(root, 'no-hooks'),
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
      const { phase, job } = component.view.state;
      return rests > 0 || phase === 'stuck' || (job?.rollbackAttempts ?? 0) > 0;
    };
    await waitUntil('the agent to rest', isOver, { timeoutMs: 20_000 });
  } finally {
    await component.close();
  }
}

const runRecover = (root: string) =>
  recoverComponent({
    ...{ component: 'app', root, disk: realDisk, hooksFolder: join(root, 'no-hooks') },
    ...{ bootsMax: 3, adoptVersion: '0.0.0' },
  });

describe('a root that Drover did not make', () => {
  it('keeps what boots through starts, clean-ups and recoveries', async (t: TestContext) => {
    const folder = await tempFolder(t);
    let at = 0;
    await fc.assert(
      fc.asyncProperty(worlds, async (world) => {
        at += 1;
        const own = join(folder, String(at));
        const root = await build(own, world);
        for (const step of world.steps) {
          const before = await lookAt(root);
          await (step === 'recover' ? runRecover(root) : runAgent(root));
          await check(root, before, world);
        }
        await rm(own, { recursive: true, force: true });
      }),
      { numRuns: RUNS },
    );
  });

  it('is checked by a judge that sees a release go', async (t) => {
    const world: World = {
      ...{ active: 'ROOT/releases/V', rollback: 'absent', activeVersion: NEW, records: 'seal' },
      ...{ state: 'idle', leftovers: [], steps: ['recover'] },
    };
    const root = await build(await tempFolder(t), world);
    const before = await lookAt(root);
    await rm(join(root, 'releases', NEW), { recursive: true });
    await assert.rejects(check(root, before, world), /active leads somewhere/);
  });
});
