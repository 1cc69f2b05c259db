/** The command lines of the three programs: options, output, exit codes, pipes. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { programFile } from '../helpers/program-file.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const PROGRAMS = {
  drover: 'publisher',
  'drover-broker': 'broker',
  'drover-robot': 'robot-client',
} as const;

const mainOf = (program: keyof typeof PROGRAMS): string => programFile(PROGRAMS[program]);

function run(program: keyof typeof PROGRAMS, ...args: string[]) {
  const options = { encoding: 'utf8', timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [mainOf(program), ...args],
    options,
  );
  return { status, stdout, stderr, all: stdout + stderr };
}

/** Those of the hint. */
const listedIn = (stderr: string): string[] =>
  (/give one of (.*?)(?:, or none)?;/.exec(stderr)?.[1] ?? '').split(', ');

/** Those of `--help`, sorted. */
function commandsOf(program: keyof typeof PROGRAMS, group: string[]): string[] {
  const { stdout } = run(program, ...group, '--help');
  const line = new RegExp(`^ *${[program, ...group].join(' ')} ([a-z-]+)`, 'gm');
  return [...stdout.matchAll(line)].map(([, name]) => name ?? '').sort();
}

/** A root that Drover made once, with releases of two versions. */
async function makeRoot(t: TestContext): Promise<string> {
  const root = join(await tempFolder(t), 'app');
  for (const version of ['1.0.0', '1.1.0']) {
    await mkdir(join(root, 'releases', version), { recursive: true });
  }
  await mkdir(join(root, 'state'));
  return root;
}

describe('each program', () => {
  for (const program of Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[]) {
    it(`${program} says its version, which is that of the package`, async () => {
      const { version } = JSON.parse(
        await readFile(process.env['npm_package_json'] ?? 'package.json', 'utf8'),
      ) as { version: string };
      const { status, stdout } = run(program, '--version');
      assert.deepEqual([status, stdout], [0, `${version}\n`]);
    });

    it(`${program} shows no trace to a reader that has seen enough`, () => {
      const line = `"${process.execPath}" "${mainOf(program)}" --help | (exec <&-; sleep 0.2)`;
      const script = `set -o pipefail; for n in 1 2 3; do ${line}; done`;
      const { stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
      assert.doesNotMatch(stderr, /EPIPE|at /);
    });
  }

  it('names a command that it does not know, and lists those that there are', () => {
    for (const program of Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[]) {
      for (const words of [['foo'], ['--json', 'foo']]) {
        const { status, stderr } = run(program, ...words);
        assert.equal(status, 2);
        assert.match(stderr, /unknown command: foo \(USAGE\)/);
        assert.deepEqual(listedIn(stderr).sort(), commandsOf(program, []));
      }
    }
    for (const group of ['trust', 'rollout', 'fleet']) {
      const { status, stderr } = run('drover', group, 'foo');
      assert.equal(status, 2);
      assert.match(stderr, new RegExp(`unknown command: ${group} foo`));
      assert.deepEqual(listedIn(stderr).sort(), commandsOf('drover', [group]));
    }
  });
});

describe('drover-robot', () => {
  it('recover says what boots when active is not of Drover', async (t) => {
    const root = await makeRoot(t);
    await mkdir(join(root, 'mine'));
    await symlink('mine', join(root, 'active'));
    const { status, stdout } = run('drover-robot', 'recover', '--root', root);
    assert.equal(status, 0);
    assert.match(stdout, /app: boots what stands at active, which Drover did not install/);
    assert.match(stdout, /SLOT_OUTSIDE/);
  });

  it('explain and status tell a lost state, and end with 3', async (t) => {
    const root = await makeRoot(t);
    await symlink('releases/1.1.0', join(root, 'active'));
    await symlink('releases/1.0.0', join(root, 'rollback'));
    await writeFile(join(root, 'state/machine.json'), 'half of a fi');
    for (const verb of ['explain', 'status']) {
      const { status, stdout } = run('drover-robot', verb, '--root', root);
      assert.equal(status, 3, stdout);
      assert.match(stdout, /1\.1\.0 is on probation/);
      assert.match(stdout, /STATE_LOST/);
    }
    assert.equal(await readFile(join(root, 'state/machine.json'), 'utf8'), 'half of a fi');
  });

  it('recover counts a boot on a machine with slots as on others, and none for a person', async (t) => {
    for (const [said, ...more] of [
      ['boot 1 of 1.1.0', '--boot=grub:/boot/grub'],
      ['boot 1 of 1.1.0', '--boot', 'rauc', '--slot-device', 'A=/dev/a,B=/dev/b'],
      ['no boot was counted', '--no-boot'],
    ] as const) {
      const root = await makeRoot(t);
      await symlink('releases/1.1.0', join(root, 'active'));
      await symlink('releases/1.0.0', join(root, 'rollback'));
      await writeFile(join(root, 'state/machine.json'), 'half of a fi');
      const { stdout } = run('drover-robot', 'recover', '--root', root, ...more);
      assert.ok(stdout.includes(said), `${more.join(' ')}: ${stdout}`);
    }
  });

  it('says what to move away when no folder stands where it makes one', async (t) => {
    const root = join(await tempFolder(t), 'app');
    await mkdir(root);
    await writeFile(join(root, 'state'), 'not a folder');
    const { status, stdout } = run('drover-robot', 'recover', '--root', root);
    assert.equal(status, 3);
    assert.match(stdout, new RegExp(`move ${root}/state away`));
    for (const name of ['staging', 'seals', 'bases']) {
      const own = await makeRoot(t);
      const server = createServer().listen(join(own, name));
      t.after(() => server.close());
      const said = run('drover-robot', 'recover', '--root', own);
      assert.equal(said.status, 3);
      assert.match(said.stdout, new RegExp(`move ${own}/${name} away`));
    }
  });
});

describe('a word that is missing', () => {
  it('is named as people type it, where an option makes no sense without another one', () => {
    const { status, stderr } = run(
      'drover-broker',
      '--data',
      'd',
      '--upstream',
      'mqtt://127.0.0.1',
    );
    assert.equal(status, 2, stderr);
    assert.match(stderr, /--upstream needs --trust as well.*\(USAGE\)/);
    const robot = ['--id', 'r1', '--broker', 'mqtt://127.0.0.1', '--root', 'r', '--trust', 't'];
    const { stderr: told } = run('drover-robot', ...robot, '--cert', 'c');
    assert.match(told, /--cert needs --key as well/);
  });
});

describe('a secret that others could read on its way', () => {
  it('is warned of by drover in one sentence, over HTTP and over MQTT', async (t) => {
    const folder = await tempFolder(t);
    const secret = join(folder, 'secret');
    await writeFile(secret, 'abc', { mode: 0o600 });
    // Every address of this machine but loopback; nothing listens on the discard port.
    const api = run(
      'drover',
      'rollout',
      'list',
      '--api',
      'http://0.0.0.0:9',
      '--token-file',
      secret,
    );
    const words = (what: string, url: string): RegExp =>
      new RegExp(`^drover: warning: the ${what} goes to ${url} in clear text, and others`, 'm');
    assert.match(api.stderr, words('token', 'http://0.0.0.0:9'));
    assert.equal(api.stderr.match(/in clear text/g)?.length, 1);
    assert.doesNotMatch(api.all, /abc/);
    const login = ['--username', 'desk', '--password-file', secret];
    const mqtt = run('drover', 'fleet', 'versions', '--broker', 'mqtt://0.0.0.0:9', ...login);
    assert.match(mqtt.stderr, words('password', 'mqtt://0.0.0.0:9'));
  });
});
