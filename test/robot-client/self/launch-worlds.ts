/**
 * Worlds in which drover-launch chooses an agent: all combinations of what can stand in the root of
 * `drover-agent`, each with the right choice, computed without the code of the script.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { repositoryFile } from '../../helpers/repository.ts';
import { seedOfRun } from '../../helpers/run-seed.ts';
import { Share } from '../../helpers/share.ts';
import { withTempFolder } from '../../helpers/temp-folder.ts';

const [NEW, OLD] = ['2.0.0', '1.0.0'];

/** Values of each fact; a world has one of each. */
const FACTS = {
  active: ['new', 'absent', 'dangling', 'outside'],
  program: ['whole', 'gone'],
  count: ['absent', '1', '2', '3', '3 hung 900', 'damaged', 'empty', 'folder'],
  confirmed: ['new', 'old', 'nothing', 'damaged'],
  rollback: ['absent', 'old', 'old and exhausted', 'old and gone', 'new'],
  disk: ['takes counts', 'refuses'],
} as const;

type World = { readonly [Fact in keyof typeof FACTS]: (typeof FACTS)[Fact][number] };

function allWorlds(): World[] {
  let worlds: Record<string, string>[] = [{}];
  for (const [fact, values] of Object.entries(FACTS)) {
    worlds = worlds.flatMap((world) => values.map((value) => ({ ...world, [fact]: value })));
  }
  return worlds as unknown as World[];
}

interface Choice {
  /** Version; null for the installed agent. */
  readonly starts: string | null;
  /** First words of the reason why it is not the one of `active`; null when it is. */
  readonly instead: string | null;
}

/** The rule, as docs/decisions/0032-agent-updates-itself.md says it. */
function expected(world: World): Choice {
  const { active, program, count, confirmed, rollback, disk } = world;
  if (active === 'absent' || active === 'outside') return { starts: null, instead: null };
  // With a disk that refuses there is no folder of counts at all.
  const told = disk === 'refuses' ? 'absent' : count;
  const isUnreadable = ['damaged', 'empty', 'folder'].includes(told);
  const isProven = confirmed === 'new';
  const why =
    active === 'dangling' || program === 'gone'
      ? 'missing'
      : isUnreadable && !isProven
        ? 'damaged'
        : told.startsWith('3')
          ? told
          : disk === 'refuses' && !isProven
            ? 'uncounted'
            : null;
  // A folder in the place of a count takes none, which a confirmed agent does not need.
  if (why === null) return { starts: NEW, instead: null };
  const name = active === 'dangling' ? '9.0.0' : NEW;
  const mayOld =
    disk === 'refuses'
      ? confirmed === 'old' && ['old', 'old and exhausted'].includes(rollback)
      : rollback === 'old';
  const isNewBefore =
    rollback === 'new' && active === 'dangling' && canStart({ ...world, active: 'new' });
  const starts = mayOld ? OLD : isNewBefore ? NEW : null;
  return { starts, instead: `${name} ${why}` };
}

const canStart = (world: World): boolean => expected(world).starts === NEW;

export function makeAgent(folder: string, name: string): void {
  mkdirSync(join(folder, 'robot-client'), { recursive: true });
  mkdirSync(join(folder, 'dist'), { recursive: true });
  writeScript(join(folder, 'robot-client/drover-robot'), `echo "${name}|$DROVER_AGENT_INSTEAD|$*"`);
  writeFileSync(join(folder, 'dist/drover-robot.js'), '//\n');
}

export function writeScript(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

/** Folder with drover-launch and an installed agent beside it. */
export function makeLauncher(folder: string): string {
  const here = join(folder, 'installed');
  mkdirSync(here);
  copyFileSync(repositoryFile('robot-client/drover-launch'), join(here, 'drover-launch'));
  chmodSync(join(here, 'drover-launch'), 0o755);
  writeScript(join(here, 'drover-robot'), `echo "installed|$DROVER_AGENT_INSTEAD|$*"`);
  return join(here, 'drover-launch');
}

function build(root: string, world: World): void {
  for (const name of ['releases', 'seals', 'state']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  const starts = join(root, 'state/starts');
  if (world.disk === 'refuses') writeFileSync(starts, 'a file stands here');
  else mkdirSync(starts);
  if (world.program === 'whole') makeAgent(join(root, 'releases', NEW), 'new');
  if (world.rollback !== 'old and gone') makeAgent(join(root, 'releases', OLD), 'old');
  const links = { new: NEW, dangling: '9.0.0', outside: '' };
  if (world.active !== 'absent') {
    const to = world.active === 'outside' ? '/usr' : `releases/${links[world.active]}`;
    symlinkSync(to, join(root, 'active'));
  }
  if (world.rollback !== 'absent') {
    symlinkSync(`releases/${world.rollback === 'new' ? NEW : OLD}`, join(root, 'rollback'));
  }
  const mark = { new: NEW, old: OLD, nothing: null, damaged: null }[world.confirmed];
  if (mark !== null) {
    writeFileSync(join(root, 'seals/.confirmed'), JSON.stringify({ version: mark, seal: 'x' }));
  } else if (world.confirmed === 'damaged') {
    writeFileSync(join(root, 'seals/.confirmed'), `\0\0${NEW}`);
  }
  if (world.disk === 'refuses') return;
  if (world.count === 'folder') mkdirSync(join(starts, NEW));
  else if (world.count !== 'absent') {
    const text = { damaged: 'x7\n', empty: '' }[world.count as string] ?? `${world.count}\n`;
    writeFileSync(join(starts, NEW), text);
  }
  if (world.rollback === 'old and exhausted') writeFileSync(join(starts, OLD), '3\n');
}

const NODE = { DROVER_NODE: '/bin/true' };

function check(launcher: string, root: string, world: World): void {
  build(root, world);
  const env = { PATH: `${dirname(launcher)}/bin:${process.env['PATH'] ?? ''}`, ...NODE };
  const args = ['--id', 'a b', '--root', `drover-agent=${root}`];
  const out = execFileSync(launcher, args, { env, encoding: 'utf8', stdio: 'pipe' });
  const [who, instead, words] = out.trimEnd().split('|');
  const named = { new: NEW, old: OLD, installed: null }[who ?? ''];
  const { starts, instead: why } = expected(world);
  const seen = JSON.stringify(world);
  assert.equal(named, starts, seen);
  assert.equal(instead?.trim(), why ?? '', seen);
  assert.equal(words, args.join(' '), seen);
  const isCounted = starts !== null && world.disk === 'takes counts' && world.count !== 'folder';
  const count = join(root, 'state/starts', starts ?? '');
  if (isCounted) assert.match(readFileSync(count, 'utf8'), /^[1-3]\n$/, seen);
  else if (world.disk === 'refuses') assert.ok(!existsSync(join(count, 'x')), seen);
}

/** @param oneIn share of the worlds; 1 for all */
export function describeLaunchWorlds(oneIn: number): void {
  describe('drover-launch in every world', () => {
    it('starts the agent of active while that may be, else the one before, else the installed one', async (t) => {
      const share = new Share(oneIn, seedOfRun());
      const kindOf = (world: World): string => {
        const { starts, instead } = expected(world);
        return `${starts} ${instead}`;
      };
      const worlds = share.of(allWorlds(), kindOf);
      await withTempFolder(async (folder) => {
        const launcher = makeLauncher(folder);
        // No power is cut here, and thousands of worlds would wait for the disk.
        mkdirSync(join(dirname(launcher), 'bin'));
        writeScript(join(dirname(launcher), 'bin/sync'), 'exit 0');
        for (const [at, world] of worlds.entries()) {
          await Promise.resolve(check(launcher, join(folder, String(at)), world));
        }
      });
      t.diagnostic(`${worlds.length} worlds: ${share.said}`);
    });
  });
}
