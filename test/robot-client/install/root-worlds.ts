/**
 * Roots that were generated, most of which Drover never made: links in every spelling, bind mounts,
 * foreign files of every kind, states of every phase, lost, cut short or damaged, and leftovers of
 * each phase.
 */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, link, mkdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import fc from 'fast-check';
import { realDisk } from '../../../robot-client/install/disk.ts';
import { layoutOf, type Layout } from '../../../robot-client/install/layout.ts';
import { writeSeal } from '../../../robot-client/install/seal-file.ts';
import { encodeMachineState, freshState, makeJob } from '../../../robot-client/update/state.ts';
import { PHASES, type Phase } from '../../../shared/formats/messages.ts';
import { verifyBundle } from '../../../shared/formats/bundle-signature.ts';
import { announce, makeRollout, makeWorld, NOW } from '../world.ts';

export const [OLD, NEW] = ['1.0.0', '1.1.0'];

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
  'rollback',
  'active.new',
  'rollback/../V',
  'releases/O/../V',
  'no UTF-8 name',
  'no UTF-8 release',
] as const;
/** Link through which the root of another component leads, its `active`; null for no such root. */
const NEIGHBOURS = [null, null, 'active', 'rollback', 'releases/V', 'active.new'] as const;
/** Only root can make these: a folder on which a release, or something else, is mounted. */
const MOUNTED = ['mount of releases/V', 'mount of ../outside'] as const;
/** Mounts of releases on their own folders, or of an outside folder as a release. */
const RELEASE_MOUNTS = ['none', 'each release is a mount', 'NEW is a mount of outside'] as const;
const RECORDS = ['seal', 'recipe', 'none'] as const;

const STATES = ['missing', 'empty', 'junk', 'folder', 'fifo', ...PHASES] as const;

const JOB = 'staging/JOB';
const LEFTOVERS = [
  'active.new',
  'active.trial',
  'active.aside/file',
  'rollback.new',
  `${JOB}/chunk-index`,
  `${JOB}/payload.tar.gz`,
  `${JOB}/room`,
  `${JOB}/payload.tar`,
  `${JOB}/patch-0123456789abcdef`,
  `${JOB}/tree/bin/run`,
  `${JOB}/recipe`,
  `${JOB}/kept/0123456789abcdef0123456789abcdef`,
  'staging/adopt-active/file',
  'staging/0123456789abcdef0123456789abcdef/tree/file',
  'seals/.new',
  'seals/9.9.9',
  'seals/.confirmed',
  'kept/1.1.0/0123456789abcdef0123456789abcdef',
  'state/adopting.json',
  'state/clean',
  'state/machine.json.new',
  'state/machine.json.corrupt',
] as const;
/** Files that Drover did not make: they must be there when all is over. */
const FOREIGN = [
  'staging/notes',
  'staging/data/file',
  'releases/backup-of-kim/file',
  'releases/2.0.0/file',
  'releases/notes.txt',
  'releases/.hidden/file',
  'releases/active/file',
  'releases/releases/file',
  'releases/3.0.0',
  'my-config.yaml',
  'active.old/file',
  'rollback.bak',
] as const;
/** More of the same in kinds that a plain file is not; some of them only root can make. */
const ODD = [
  'socket in root',
  'fifo in releases',
  'fifo in release',
  'device in release',
  'unreadable folder in release',
  'no UTF-8 in release',
  'no UTF-8 in releases',
  'second name outside',
] as const;
const FROZEN = ['immutable file in release', 'immutable release'] as const;
type Odd = (typeof ODD)[number] | (typeof FROZEN)[number];
/** Losses of the disk in a root that Drover made: seals, files, modes, links. */
const LOSSES = [
  'seal of active',
  'seal of active is junk',
  'seal of rollback',
  'file of active',
  'file of rollback',
  'mode of active',
  'mode of rollback',
  'link active',
  'link rollback',
] as const;
export const STEPS = ['recover', 'agent', 'adopt'] as const;

const world = {
  active: fc.constantFrom(...SPELLINGS),
  rollback: fc.constantFrom(...SPELLINGS),
  mounts: fc.constant<(typeof RELEASE_MOUNTS)[number]>('none'),
  activeVersion: fc.constantFrom(OLD, NEW),
  records: fc.constantFrom(...RECORDS),
  state: fc.constantFrom(...STATES),
  /** Of the state file, in thousandths of its length; null: all of it. */
  cutAt: fc.oneof(fc.constant(null), fc.constant(null), fc.nat({ max: 999 })),
  /** Exit codes of the hooks `health` and `start`; null: there are none. */
  hooks: fc.constantFrom(null, null, 'health 70', 'start 1', 'ready 75'),
  leftovers: fc.subarray([...LEFTOVERS]),
  foreign: fc.subarray([...FOREIGN]),
  odd: fc.subarray<Odd>([...ODD], { maxLength: 4 }),
  neighbour: fc.constantFrom(...NEIGHBOURS),
  losses: fc.subarray([...LOSSES], { maxLength: 3 }),
  steps: fc.array(fc.constantFrom(...STEPS), { minLength: 1, maxLength: 4 }),
};
export const worlds = fc.record(world);
/** With bind mounts and immutable files; only root can build these. */
export const mountedWorlds = fc.record({
  ...world,
  active: fc.constantFrom<string>(...MOUNTED, ...MOUNTED, ...SPELLINGS),
  rollback: fc.constantFrom<string>(...MOUNTED, ...SPELLINGS),
  mounts: fc.constantFrom(...RELEASE_MOUNTS),
  odd: fc.subarray<Odd>([...ODD, ...FROZEN], { maxLength: 4 }),
});
type Made = typeof worlds extends fc.Arbitrary<infer T> ? T : never;
export type World = Omit<Made, 'active' | 'rollback'> & { active: string; rollback: string };

const IS_ROOT = process.platform === 'linux' && process.getuid?.() === 0;

/** FIFO, socket and device, made once: each world takes second names of them. */
export function makeSpecials(folder: string): void {
  const at = (name: string): string => join(folder, name);
  execFileSync('mkfifo', [at('fifo')]);
  execFileSync('python3', ['-c', MAKE_SOCKET, at('socket')]);
  if (IS_ROOT) execFileSync('mknod', [at('device'), 'c', '1', '3']);
}
const MAKE_SOCKET = 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';

/** Makes what a plain file is not, and knows the mounts and flags that a removal would fail on. */
export class Stage {
  /** Folder with the special files. */
  readonly #specials: string;
  readonly #mounts: string[] = [];
  readonly #immutable: string[] = [];

  constructor(specials: string) {
    this.#specials = specials;
  }

  async special(kind: 'fifo' | 'socket' | 'device', path: string): Promise<void> {
    const made = join(this.#specials, kind);
    if (existsSync(made)) await link(made, path).catch(() => {}); // not into another mount
  }

  mount(from: string, to: string): void {
    execFileSync('mount', ['--bind', from, to]);
    this.#mounts.push(to);
  }

  /** Sets the flag where the file system has it. */
  freeze(path: string): void {
    try {
      execFileSync('chattr', ['+i', path], { stdio: 'ignore' });
      this.#immutable.push(path);
    } catch {
      // no such program, or a file system without flags
    }
  }

  tearDown(): void {
    for (const path of this.#immutable.splice(0)) {
      if (existsSync(path)) execFileSync('chattr', ['-i', path]);
    }
    for (const path of this.#mounts.splice(0).reverse()) execFileSync('umount', ['--lazy', path]);
  }
}

/** A job to NEW with OLD to go back to. */
export function jobTo(): ReturnType<typeof makeJob> {
  const signed = makeWorld();
  const rollout = announce(signed, [makeRollout(signed, { version: NEW })]).rollouts[0];
  const artifact = rollout?.artifacts[0];
  if (!rollout || !artifact) throw new TypeError('no rollout');
  const { manifest: manifestBytes, signature } = rollout;
  const bundle = verifyBundle({ manifestBytes, signatures: [signature], trust: signed.trust });
  const job = makeJob({ rollout, artifact, bundle, seq: 7, now: NOW });
  return { ...job, previousVersion: OLD, healthTimeoutMs: 1_000 };
}
const JOB_TO_NEW = jobTo();

function stateText(state: Phase): Uint8Array {
  if (state === 'idle') return encodeMachineState(freshState());
  return encodeMachineState({ ...freshState(), phase: state, job: JOB_TO_NEW });
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

/** @param folder the root is `root` in it; `outside` stands beside */
export async function build(folder: string, given: World, stage: Stage): Promise<string> {
  const root = join(folder, 'root');
  const layout = layoutOf(root);
  await put(join(folder, 'outside/bin/run'), 'not of Drover');
  for (const version of [OLD, NEW]) {
    const tree = join(layout.releases, version);
    await put(join(tree, 'bin/run'), `echo ${version}`);
    await symlink('bin/run', join(tree, 'start'));
    if (given.mounts === 'each release is a mount') stage.mount(tree, tree);
    if (version === NEW && given.mounts === 'NEW is a mount of outside') {
      stage.mount(join(folder, 'outside'), tree);
    }
    if (given.records === 'seal') await writeSeal(realDisk, layout, { version, tree });
    if (given.records === 'recipe') await put(join(layout.bases, version), 'recipe');
    await symlink(`releases/${version}`, join(root, `current-${version}`));
    await symlink(version, join(layout.releases, `alias-${version}`));
  }
  const { activeVersion: version } = given;
  const other = version === OLD ? NEW : OLD;
  await makeSlot(root, 'active', { spelling: given.active, version, stage });
  await makeSlot(root, 'rollback', { spelling: given.rollback, version: other, stage });
  const job = JOB_TO_NEW.payloadSha256.slice(0, 32);
  for (const path of [...given.leftovers, ...given.foreign]) {
    if (path.endsWith('.new') && isLedOver(path, given)) {
      await symlink(`releases/${version}`, join(root, path));
      continue;
    }
    await put(join(root, path.replace('JOB', job)), `{"version":"${path}"}`);
  }
  for (const odd of given.odd) await makeOdd(odd, { folder, layout, version, stage });
  await mkdir(layout.state, { recursive: true });
  await makeState(layout.machineFile, given, stage);
  await makeNeighbour(folder, given);
  for (const loss of given.losses) await lose(loss, layout, { active: version, rollback: other });
  await makeHooks(join(root, 'hooks'), given.hooks);
  return root;
}

/** A power cut leaves a link there, and a slot leads through it. */
const isLedOver = (path: string, { active, rollback, neighbour }: World): boolean =>
  [active, rollback, neighbour].includes(path);

/** A root that holds a release of its own, and leads to this one. */
async function makeNeighbour(folder: string, given: World): Promise<void> {
  if (given.neighbour === null) return;
  const root = join(folder, 'neighbour');
  await put(join(root, 'releases', OLD, 'bin/run'), 'of the neighbour');
  const target = given.neighbour.replace('V', given.activeVersion);
  await symlink(`../root/${target}`, join(root, 'active'));
}

async function lose(
  loss: World['losses'][number],
  layout: Layout,
  versions: { active: string; rollback: string },
): Promise<void> {
  const slot = loss.includes('rollback') ? 'rollback' : 'active';
  const seal = join(layout.seals, versions[slot]);
  const program = join(layout.releases, versions[slot], 'bin/run');
  if (loss.startsWith('link')) return await unlink(layout[slot]).catch(() => {}); // no folder
  if (loss.endsWith('junk')) return await put(seal, '{}');
  if (loss.startsWith('seal')) return await rm(seal, { force: true });
  const harm = loss.startsWith('mode') ? chmod(program, 0) : unlink(program);
  await harm.catch(() => {}); // lost before, or immutable
}

async function makeSlot(
  root: string,
  name: string,
  { spelling, version, stage }: { spelling: string; version: string; stage: Stage },
): Promise<void> {
  const path = join(root, name);
  if (spelling === 'absent') return;
  if (spelling === 'folder') return await put(join(path, 'bin/run'), `plain ${name}`);
  if (spelling === 'file') return await put(path, 'not a link');
  if (spelling.startsWith('mount of ')) {
    await mkdir(path);
    const from = spelling.slice('mount of '.length).replace('V', version);
    return stage.mount(join(root, from), path);
  }
  if (spelling.startsWith('no UTF-8')) return await makeUnspelled(root, path, spelling, version);
  const other = version === OLD ? NEW : OLD;
  const text = spelling.replace('ROOT', root).replace('/O/', `/${other}/`);
  await symlink(text.replace(/V(?=$|\/)/, version), path);
}

/** A link over a link with such a name, or to a release that is a link to such a folder. */
async function makeUnspelled(root: string, path: string, spelling: string, version: string) {
  const release = join(root, 'releases', version);
  const strange = Buffer.concat([Buffer.from(`${path}-`), NO_UTF8]);
  const text = Buffer.concat([Buffer.from(`${basename(path)}-`), NO_UTF8]);
  if (spelling === 'no UTF-8 name') {
    await symlink(`releases/${version}`, strange);
    return await symlink(text, path);
  }
  await rename(release, strange).catch(() => {}); // a mount stays
  const target = Buffer.concat([Buffer.from('../'), text]);
  if (!existsSync(release)) await symlink(target, release);
  await symlink(`releases/${version}`, path);
}

async function makeOdd(
  odd: Odd,
  on: { folder: string; layout: Layout; version: string; stage: Stage },
): Promise<void> {
  const { folder, layout, version, stage } = on;
  const release = join(layout.releases, version);
  const strange = (at: string): Buffer => Buffer.concat([Buffer.from(`${at}/`), NO_UTF8]);
  switch (odd) {
    case 'socket in root':
      return await stage.special('socket', join(layout.root, 'app.sock'));
    case 'fifo in releases':
      return await stage.special('fifo', join(layout.releases, '4.0.0'));
    case 'fifo in release':
      return await stage.special('fifo', join(release, 'pipe'));
    case 'device in release':
      return await stage.special('device', join(release, 'null'));
    case 'unreadable folder in release':
      await put(join(release, 'secret/key'), 'of the application');
      return await chmod(join(release, 'secret'), 0);
    case 'no UTF-8 in release':
      return await writeFile(strange(release), 'of the application');
    case 'no UTF-8 in releases':
      return await mkdir(strange(layout.releases));
    case 'second name outside':
      // Not where the release is a mount of its own.
      return await link(join(release, 'bin/run'), join(folder, 'outside/second-name')).catch(
        () => {},
      );
    case 'immutable file in release':
      return stage.freeze(join(release, 'bin/run'));
    case 'immutable release':
      return stage.freeze(release);
  }
}

const NO_UTF8 = Buffer.from([0x63, 0x61, 0x66, 0xe9]);
async function makeState(path: string, { state, cutAt }: World, stage: Stage): Promise<void> {
  if (state === 'missing') return;
  if (state === 'folder') return await put(join(path, 'file'), 'x');
  if (state === 'fifo') return await stage.special('fifo', path);
  if (state === 'empty') return await writeFile(path, '');
  if (state === 'junk') return await writeFile(path, '{"schema":7}');
  const text = stateText(state);
  const bytes = cutAt === null ? text.byteLength : Math.floor((text.byteLength * cutAt) / 1000);
  await writeFile(path, text.subarray(0, bytes));
}

async function makeHooks(folder: string, hooks: World['hooks']): Promise<void> {
  if (hooks === null) return;
  const [name = '', code = ''] = hooks.split(' ');
  await put(join(folder, name), `#!/bin/sh\nexit ${code}\n`);
  await chmod(join(folder, name), 0o755);
}
