import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { requirePython } from '../helpers/peer.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

/** A bundle by hand: plain tar, the six required fields, a signature by Python's cryptography. */
async function makePythonBundle(python: string, site: Site, version: string): Promise<string> {
  const [app, bundle] = [site.path('foreign-app'), site.path('foreign-bundle')];
  await mkdir(app);
  await mkdir(bundle);
  await writeFile(join(app, 'VERSION'), version);
  const payloadPath = join(bundle, 'payload.tar.gz');
  execFileSync('tar', ['-czf', payloadPath, '-C', app, '.']);
  const digest = createHash('sha256')
    .update(await readFile(payloadPath))
    .digest('hex');
  const manifest = {
    version,
    min_current_version: '0.0.0',
    target_arch: 'any',
    payload_sha256: digest,
    rollback_version: '0.0.0',
    apply_strategy: 'atomic_swap',
  };
  await writeFile(join(bundle, 'manifest.json'), JSON.stringify(manifest));
  const key = (await readFile(site.path('release.key'))).toString('hex');
  const input = JSON.stringify({ verb: 'sign', bundle, key });
  const script = repositoryFile('test/publisher/interop.py');
  const signature = JSON.parse(execFileSync(python, [script], { input }).toString()) as string;
  await writeFile(join(bundle, 'signature.sig'), Buffer.from(signature, 'hex'));
  return bundle;
}

describe('a robot', () => {
  it("installs a bundle made by tar and signed by Python's cryptography", async (t) => {
    const python = requirePython(t);
    if (python === null) return;
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    await site.publish(broker.url, await makePythonBundle(python, site, '2.0.0'));
    await robot.runs('2.0.0');
    assert.equal(await readFile(join(robot.root, 'active/VERSION'), 'utf8'), '2.0.0');
  });

  it('asks for a full package when it is too old, and the fleet API shows the wish', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    const tooNew = await site.bundle('3.0.0', {}, '--min-current', '2.0.0');
    await site.publish(broker.url, tooNew, '--anyway');
    await robot.until('refuses', (status) => status.last_error?.code === 'TOO_OLD');
    const wish = await waitUntil('the wish to arrive', async () => {
      const answer = await fetch(`${broker.httpUrl}/requests`);
      const { requests } = (await answer.json()) as { requests: Record<string, unknown>[] };
      return requests[0];
    });
    assert.equal(wish['robot_id'], 'r1');
    assert.equal(wish['wanted_version'], '3.0.0');
    assert.equal(wish['current_version'], '1.0.0');
  });

  it('goes back at boot, without a network, when its new version never confirms', async (t) => {
    const broker = await startBrokerChild(t);
    const site = await Site.open(t);
    const robot = site.robot('r1', broker.url);
    await robot.hook('health', 'test "$DROVER_VERSION" = 1.0.0');
    await site.publish(broker.url, await site.bundle('1.0.0'));
    await robot.runs('1.0.0');
    await site.publish(broker.url, await site.bundle('1.1.0'), '--health-timeout', '1h');
    await robot.until('is on probation', (status) => status.phase === 'probation');
    await robot.kill();
    const recover = async (): Promise<string> => {
      const args = ['recover', '--root', robot.root, '--hooks', robot.hooks];
      const child = startDrover(t, 'robot-client', args);
      await child.exit;
      assert.equal(child.ended?.code, 0, child.describe());
      return child.stdout;
    };
    for (const boot of [1, 2, 3])
      assert.match(await recover(), new RegExp(`boot ${boot} of 1.1.0`));
    assert.match(await recover(), /rolled back from 1\.1\.0 to 1\.0\.0/);
    assert.equal(await readlink(join(robot.root, 'active')), 'releases/1.0.0');
    robot.start();
    const status = await robot.runs('1.0.0');
    assert.equal(status.last_error?.code, 'BOOT_LIMIT_REACHED');
  });

  it('lets no second agent and no recover touch its memory while it runs', async (t) => {
    const site = await Site.open(t);
    const robot = site.robot('r1', 'mqtt://127.0.0.1:1');
    await robot.until('is up', () => true);
    const second = startDrover(t, 'robot-client', ['recover', '--root', robot.root]);
    await second.exit;
    assert.equal(second.ended?.code, 3, second.describe());
    assert.match(second.stderr, /ROBOT_ALREADY_RUNNING/);
  });

  it('explains itself while it runs and from its disk when it does not', async (t) => {
    const site = await Site.open(t);
    const robot = site.robot('r1', 'mqtt://127.0.0.1:1');
    await robot.until('is up', () => true);
    const explain = async (): Promise<string> => {
      const child = startDrover(t, 'robot-client', ['explain', '--root', robot.root]);
      await child.exit;
      return child.stdout;
    };
    assert.match(await explain(), /link to mqtt:\/\/127\.0\.0\.1:1 is down, trying again/);
    await robot.kill();
    assert.match(await explain(), /the agent is not running[^]*app: has nothing installed/);
  });

  it('tells a person who types something wrong what to do, with exit 2', async (t) => {
    const child = startDrover(t, 'robot-client', ['--id', 'no.dots', '--broker', 'mqtt://x']);
    await child.exit;
    assert.equal(child.ended?.code, 2);
    assert.match(child.stderr, /drover-robot: error: .*\(USAGE\)\ndrover-robot: hint: /);
  });
});
