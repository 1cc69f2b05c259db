/** drover-launch as a process, with shell scripts in place of agents. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LIMITS } from '../../../shared/base/limits.ts';
import { startChild } from '../../helpers/child.ts';
import { requirePeer } from '../../helpers/peer.ts';
import { repositoryFile } from '../../helpers/repository.ts';
import { tempFolder } from '../../helpers/temp-folder.ts';
import { describeLaunchWorlds, makeAgent, makeLauncher, writeScript } from './launch-worlds.ts';

describeLaunchWorlds(256);

interface Stage {
  readonly launcher: string;
  readonly root: string;
  readonly starts: string;
  readonly args: readonly string[];
  /** Lets the agent of a release do this instead. */
  agent(version: string, script: string): void;
}

/** `active` leads to 2.0.0, `rollback` to 1.0.0, which was confirmed. */
async function stage(t: TestContext): Promise<Stage> {
  const folder = await tempFolder(t);
  const [launcher, root] = [makeLauncher(folder), join(folder, 'agent')];
  for (const name of ['seals', 'state']) mkdirSync(join(root, name), { recursive: true });
  for (const [link, version] of Object.entries({ active: '2.0.0', rollback: '1.0.0' })) {
    makeAgent(join(root, 'releases', version), version);
    symlinkSync(`releases/${version}`, join(root, link));
  }
  writeFileSync(join(root, 'seals/.confirmed'), '{"version":"1.0.0","seal":"x"}');
  const agent = (version: string, script: string): void =>
    writeScript(join(root, 'releases', version, 'robot-client/drover-robot'), script);
  const starts = join(root, 'state/starts');
  return { launcher, root, starts, args: [`--root=drover-agent=${root}`], agent };
}

const ENV = {
  DROVER_NODE: '/bin/true',
  DROVER_LAUNCH_PAUSE_S: '0',
};

describe('drover-launch', () => {
  it('has the bounds of limits.ts', () => {
    const text = readFileSync(repositoryFile('robot-client/drover-launch'), 'utf8');
    assert.match(text, new RegExp(`^starts_max=${LIMITS.agentStartsMax} `, 'm'));
    assert.match(text, new RegExp(`GUARD_S:-${LIMITS.agentStartMs / 1000}}`));
  });

  it('becomes the agent: its number, its signals and its exit code', async (t) => {
    const { launcher, args, agent } = await stage(t);
    agent('2.0.0', 'trap "exit 7" TERM; echo "pid $$"; while :; do sleep 0.05; done');
    const child = startChild(t, launcher, args, { env: ENV });
    const [, pid] = await child.waitForOutput(/pid (\d+)/);
    assert.equal(Number(pid), child.pid);
    child.kill('SIGTERM');
    assert.deepEqual(await child.exit, { code: 7, signal: null });
  });

  it('makes the count durable before the agent starts: file, rename, folders', async (t) => {
    const { launcher, args, starts, root, agent } = await stage(t);
    const bin = join(root, 'bin');
    mkdirSync(bin);
    const seen = '$([ -e "$STARTS/2.0.0" ] && echo counted || echo uncounted)';
    writeScript(join(bin, 'sync'), `echo "${seen} $*" >>"$STARTS.log"`);
    agent('2.0.0', 'cat "$STARTS.log"');
    const env = { ...ENV, PATH: `${bin}:${process.env['PATH'] ?? ''}`, STARTS: starts };
    const lines = execFileSync(launcher, args, { env, encoding: 'utf8' }).trimEnd().split('\n');
    assert.deepEqual(lines, [
      `uncounted ${starts}/2.0.0.new`,
      `counted ${starts} ${join(root, 'state')}`,
    ]);
  });

  it('never waits for a count that is no plain file, and takes it as damaged', async (t) => {
    const { launcher, args, agent, starts, root } = await stage(t);
    for (const version of ['1.0.0', '2.0.0']) agent(version, `echo ran ${version}`);
    mkdirSync(starts);
    const out = (): string =>
      execFileSync(launcher, args, { env: ENV, encoding: 'utf8', timeout: 20_000, stdio: 'pipe' });
    // The one on trial with a count that is damaged is not started; the confirmed one is believed.
    execFileSync(
      'mkfifo',
      ['2.0.0', '2.0.0.new', '1.0.0', '1.0.0.new'].map((one) => join(starts, one)),
    );
    assert.equal(out(), 'ran 1.0.0\n');
    for (const target of ['/dev/zero', '/dev/tty']) {
      rmSync(join(starts, '2.0.0'));
      symlinkSync(target, join(starts, '2.0.0'));
      assert.equal(out(), 'ran 1.0.0\n', target);
    }
    // A file that cannot be read as the mark of the confirmed version confirms none.
    rmSync(join(root, 'seals/.confirmed'));
    execFileSync('mkfifo', [join(root, 'seals/.confirmed')]);
    rmSync(join(starts, '2.0.0'));
    assert.equal(out(), 'ran 2.0.0\n');
  });

  it('starts the installed agent where drover-agent is no component, and writes nothing', async (t) => {
    const { launcher, starts } = await stage(t);
    const out = execFileSync(launcher, ['--root', '/opt/robot'], { env: ENV, encoding: 'utf8' });
    assert.equal(out, 'installed||--root /opt/robot\n');
    assert.ok(!existsSync(starts));
  });

  it('ends a start that hangs, and notes that it did', async (t) => {
    const { launcher, args, agent, starts } = await stage(t);
    agent('2.0.0', 'trap "" TERM; while :; do sleep 0.1; done');
    const env = { ...ENV, DROVER_LAUNCH_GUARD_S: '1' };
    const child = startChild(t, launcher, args, { env });
    assert.deepEqual(await child.exit, { code: null, signal: 'SIGKILL' });
    assert.equal(readFileSync(join(starts, '2.0.0'), 'utf8'), '3 hung 1\n');
    const out = execFileSync(launcher, args, { env: ENV, encoding: 'utf8', stdio: 'pipe' });
    assert.match(out, /^1\.0\.0\|2\.0\.0 3 hung 1\|/);
  });

  it('with stay starts again what ends, goes back after three starts, and passes SIGTERM on', async (t) => {
    const { launcher, args, agent } = await stage(t);
    agent('2.0.0', 'echo new; exit 9');
    agent(
      '1.0.0',
      'trap "exit 0" TERM; echo "old $DROVER_AGENT_INSTEAD"; while :; do sleep 0.05; done',
    );
    const child = startChild(t, launcher, ['stay', ...args], { env: ENV });
    await child.waitForOutput(/^old 2\.0\.0 3 exited 9$/m);
    assert.equal(child.stdout.match(/^new$/gm)?.length, 3);
    child.kill('SIGTERM');
    assert.deepEqual(await child.exit, { code: 0, signal: null });
  });

  it('notes how systemd saw a start end, and forgives a confirmed agent a refusal', async (t) => {
    const { launcher, args, agent, starts, root } = await stage(t);
    agent('2.0.0', 'exit 3');
    const env = { ...ENV, EXIT_CODE: 'exited', EXIT_STATUS: '3' };
    const once = (): void => {
      spawnSync(launcher, args, { env: ENV });
      execFileSync(launcher, ['ended', ...args], { env });
    };
    once();
    assert.equal(readFileSync(join(starts, '2.0.0'), 'utf8'), '1 exited 3\n');
    writeFileSync(join(root, 'seals/.confirmed'), '{"version":"2.0.0","seal":"x"}');
    once();
    assert.ok(!existsSync(join(starts, '2.0.0')));
  });

  it('runs recover of the agent that was confirmed last, and of the installed one when that breaks', async (t) => {
    const { launcher, args, agent, starts } = await stage(t);
    const recover = (): ReturnType<typeof spawnSync> =>
      spawnSync(launcher, ['recover', ...args], { env: ENV, encoding: 'utf8' });
    assert.match(String(recover().stdout), /^1\.0\.0\|\|recover /);
    agent('1.0.0', 'exit 3');
    assert.equal(recover().status, 3);
    agent('1.0.0', 'kill -SEGV $$');
    assert.match(String(recover().stdout), /^installed\|\|recover /);
    assert.ok(!existsSync(starts), 'a boot is counted by recover, not here');
  });

  it('starts an agent that it gave up again when a person removes the counts', async (t) => {
    const { launcher, args, starts } = await stage(t);
    mkdirSync(starts);
    writeFileSync(join(starts, '2.0.0'), '3 exited 1\n');
    const who = (): string => execFileSync(launcher, args, { env: ENV, encoding: 'utf8' });
    assert.match(who(), /^1\.0\.0\|/);
    rmSync(starts, { recursive: true });
    assert.match(who(), /^2\.0\.0\|\|/);
  });

  it('takes the Node of a release before that of the machine', async (t) => {
    const { launcher, args, agent, root } = await stage(t);
    agent('2.0.0', 'echo "$DROVER_NODE"');
    writeScript(join(root, 'releases/2.0.0/node'), '');
    const own = execFileSync(launcher, args, { env: ENV, encoding: 'utf8' });
    assert.equal(own, `${join(root, 'releases/2.0.0/node')}\n`);
  });

  it('chooses the same under busybox', async (t) => {
    if (requirePeer(t, 'busybox') === null) return;
    const { launcher, args } = await stage(t);
    const out = execFileSync('busybox', ['sh', launcher, ...args], { env: ENV, encoding: 'utf8' });
    assert.match(out, /^2\.0\.0\|\|/);
  });
});
