/** The Debian packages are built, inspected, installed, run and removed. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { Site } from '../e2e/site.ts';
import { CleanRoot } from './clean-root.ts';

const ARCH = process.arch === 'arm64' ? 'arm64' : 'amd64';
const MAY_RUN = process.getuid?.() === 0 && existsSync('/usr/bin/dpkg-deb');
const SKIP = MAY_RUN ? false : 'needs root and dpkg';
/** Programs that the units start. */
const PROGRAMS = /\/usr\/(?:bin\/drover-(?:broker|robot)|lib\/\S+\/drover-launch)/g;
const UNITS = ['drover-broker', 'drover-relay', 'drover-robot', 'drover-recover'];

interface Built {
  readonly folder: string;
  readonly files: ReadonlyMap<string, string>;
}

function build(out: string, ...more: string[]): Built {
  const main = repositoryFile('dist/packaging/main.js');
  const args = [main, '--fast', '--arch', ARCH, '--out', out, ...more];
  execFileSync(process.execPath, args, { stdio: 'pipe', cwd: out });
  const named = readdirSync(out).map(
    (name) => [name.split('_')[0] ?? '', join(out, name)] as const,
  );
  return { folder: out, files: new Map(named) };
}

const deb = (built: Built, name: string): string => built.files.get(name) ?? assert.fail(name);
const dpkgDeb = (...args: string[]): string =>
  execFileSync('dpkg-deb', args, { encoding: 'utf8', maxBuffer: 2 ** 26 });

describe('the packages', { skip: SKIP }, () => {
  let built: Built;
  before(async () => {
    built = build(await mkdtemp(join(tmpdir(), 'drover-test-')), '--with-node');
  });
  after(() => rm(built.folder, { recursive: true, force: true }));

  it('are the same bytes when they are built again', async (t) => {
    const again = build(await tempFolder(t), '--only', 'drover-broker');
    assert.equal(again.files.size, 1);
    for (const [name, path] of again.files) {
      assert.ok(readFileSync(path).equals(readFileSync(deb(built, name))), name);
    }
  });

  it('hold programs, licences and units, and nothing of the machine that builds or tests them', () => {
    for (const [name, path] of built.files) {
      const lines = dpkgDeb('--contents', path).trimEnd().split('\n');
      for (const line of lines) {
        const [mode = '', owner, , , , file = ''] = line.split(/\s+/);
        assert.equal(owner, 'root/root', line);
        assert.match(mode, /^(?:drwxr-xr-x|-rw[x-]r-[x-]r-[x-])$/, line);
        assert.doesNotMatch(file, /\/test\/|\.ts$|\.map$|\/prettier\/|\/typescript\//, line);
      }
      assert.ok(
        lines.some((line) => line.endsWith(`./usr/share/doc/${name}/copyright`)),
        name,
      );
      if (name === 'drover-node') continue;
      const natives = lines.filter((line) => line.endsWith('.node'));
      assert.equal(natives.length, name === 'drover-broker' ? 1 : 0, natives.join('\n'));
    }
    const broker = dpkgDeb('--contents', deb(built, 'drover-broker'));
    for (const unit of UNITS.slice(0, 2)) assert.match(broker, new RegExp(`${unit}\\.service`));
  });

  it('hold with drover-robot the folder of an agent, which drover build takes for drover-agent', async (t) => {
    const site = await Site.open(t);
    dpkgDeb('--extract', deb(built, 'drover-robot'), site.path('unpacked'));
    const folder = site.path('unpacked/usr/lib/drover-robot');
    assert.equal(statSync(join(folder, 'robot-client/drover-launch')).mode & 0o777, 0o755);
    const words = ['--name', 'drover-agent', '--version', '1.0.0', '--arch', 'any'];
    const out = ['--out', site.path('bundle'), '--dry-run'];
    assert.match(await site.drover('build', folder, ...words, ...out), /drover-agent 1\.0\.0/);
  });

  it('name no path of the machine that built them', async (t) => {
    const folder = await tempFolder(t);
    dpkgDeb('--extract', deb(built, 'drover-broker'), folder);
    const top = repositoryFile('.').replace(/\/$/, '');
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      const path = join(folder, name);
      if (!statSync(path).isFile()) continue;
      assert.ok(!readFileSync(path, 'latin1').includes(top), name);
    }
  });

  it('bring what a broker needs to carry an update to a robot on a machine without Node', async (t) => {
    const root = await CleanRoot.make(t);
    install(root, built);
    const without = root.start('root', 'dpkg', '--install', '/tmp/drover-robot.deb');
    assert.notEqual((await without.exit).code, 0, 'Node is missing');
    assert.match(without.stderr, /drover-node/);
    const names = ['node', 'broker', 'robot', 'publisher'].map((one) => `/tmp/drover-${one}.deb`);
    await root.run('dpkg', '--install', ...names);
    assert.match(await root.run('drover', '--help'), /publish/);
    for (const command of ['drover-broker', 'drover-robot']) {
      assert.match(await root.run(command, '--version'), /^\d+\.\d+\.\d+$/m);
    }
    assert.equal(statSync(root.path('var/lib/drover-broker')).mode & 0o777, 0o750);
    await runUpdate(t, root);
    await removeAll(root);
  });
});

function install(root: CleanRoot, built: Built): void {
  mkdirSync(root.path('etc/dpkg'), { recursive: true });
  writeFileSync(root.path('etc/dpkg/dpkg.cfg'), 'force-unsafe-io\n'); // no power cut here
  for (const [name, path] of built.files) cpSync(path, root.path('tmp', `${name}.deb`));
}

async function runUpdate(t: TestContext, root: CleanRoot): Promise<void> {
  const site = await Site.open(t);
  cpSync(site.path('trust.json'), root.path('etc/drover/trust.json'));
  const trust = ['--trust', '/etc/drover/trust.json'];
  const data = ['--data', '/var/lib/drover-broker'];
  const ports = ['--mqtt', '0', '--http', '0', '--json'];
  const broker = root.start('drover', 'drover-broker', ...data, ...ports, ...trust);
  const [line] = await broker.waitForOutput(/^\{"mqtt":.*\}$/m);
  const url = `mqtt://127.0.0.1:${(JSON.parse(line) as { mqtt: number }).mqtt}`;
  await site.publish(url, await site.bundle('1.0.0'));
  const where = ['--id', 'r1', '--broker', url, '--root', '/opt/robot'];
  const robot = root.start('root', 'drover-robot', ...where, ...trust);
  const active = root.path('opt/robot/active/VERSION');
  await waitUntil('the robot runs it', () => existsSync(active), { look: () => robot.describe() });
  assert.equal(readFileSync(active, 'utf8'), '1.0.0');
  await root.run('drover-broker', 'backup', ...data, '--out', '/opt/broker.backup');
  // An upgrade over programs that run: what people wrote and what was stored stay.
  writeFileSync(root.path('etc/default/drover-broker'), 'DROVER_BROKER_OPTIONS="--mine"\n');
  await root.run(
    'dpkg',
    '--force-confdef',
    '--force-confold',
    '--install',
    '/tmp/drover-broker.deb',
  );
  assert.match(readFileSync(root.path('etc/default/drover-broker'), 'utf8'), /--mine/);
  await robot.stop();
  await broker.stop();
  // Root makes it; the user of the broker runs it.
  const restored = ['--data', '/var/lib/drover-relay'];
  await root.run('drover-broker', 'restore', '/opt/broker.backup', ...restored);
  const second = root.start('drover', 'drover-broker', ...restored, ...ports, ...trust);
  await second.waitForOutput(/^\{"mqtt":.*\}$/m);
  await second.stop();
}

async function removeAll(root: CleanRoot): Promise<void> {
  await root.run('dpkg', '--remove', 'drover-broker', 'drover-robot', 'drover-publisher');
  assert.ok(!existsSync(root.path('usr/bin/drover-broker')));
  assert.ok(existsSync(root.path('var/lib/drover-broker/control')), 'data stays');
  assert.ok(existsSync(root.path('etc/default/drover-broker')), 'settings stay');
  await root.run('dpkg', '--purge', 'drover-broker', 'drover-robot', 'drover-publisher');
  assert.ok(!existsSync(root.path('var/lib/drover-broker')));
  assert.ok(!existsSync(root.path('etc/default/drover-broker')));
  assert.ok(existsSync(root.path('opt/robot/active/VERSION')), 'what a robot runs is not ours');
}

describe('the units', () => {
  const skip = existsSync('/usr/bin/systemd-analyze') ? false : 'needs systemd-analyze';

  it('are what systemd understands', { skip }, async (t) => {
    const folder = await tempFolder(t);
    const paths = UNITS.map((name) => {
      const text = readFileSync(repositoryFile(`packaging/units/${name}.service`), 'utf8');
      const path = join(folder, `${name}.service`);
      // Verified before anything is installed here: the command has to be one that exists.
      writeFileSync(path, text.replaceAll(PROGRAMS, '/bin/true'));
      return path;
    });
    const said = execFileSync('systemd-analyze', ['verify', '--man=no', ...paths], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    assert.equal(said.trim(), '');
  });

  it('leave the broker and the relay little that they could break', { skip }, () => {
    for (const name of UNITS.slice(0, 2)) {
      const unit = repositoryFile(`packaging/units/${name}.service`);
      const args = ['security', '--offline=true', '--threshold=20', '--no-pager', unit];
      execFileSync('systemd-analyze', args, { stdio: 'pipe' }); // fails above 2.0
    }
  });
});
