/**
 * The library as another project uses it: `npm pack`, unpacked into an empty folder beside the one
 * package that its types need, and then compiled and run there.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { makeBundle, makeKey, makeTrust } from '../e2e/site-making.ts';
import { startDrover } from '../helpers/child.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { tempFolder } from '../helpers/temp-folder.ts';

const run = promisify(execFile);
const top = dirname(repositoryFile('package.json'));
const TSC = join(top, 'node_modules/typescript/bin/tsc');

const COMPILER = {
  compilerOptions: { module: 'nodenext', target: 'es2023', strict: true, noEmit: true, types: [] },
  files: ['uses.ts'],
};

/** An empty project in which the packed library is installed. */
async function project(folder: string): Promise<void> {
  const packed = await run(
    'npm',
    ['pack', '--ignore-scripts', '--json', '--pack-destination', folder],
    {
      cwd: top,
    },
  );
  const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
  await run('tar', ['-xzf', filename], { cwd: folder });
  await mkdir(join(folder, 'node_modules'));
  await rename(join(folder, 'package'), join(folder, 'node_modules/drover'));
  await symlink(join(top, 'node_modules/zod'), join(folder, 'node_modules/zod'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(COMPILER));
}

async function evaluate(folder: string, source: string): Promise<unknown> {
  const file = join(folder, 'uses.mjs');
  await writeFile(file, source);
  const { stdout } = await run(process.execPath, [file], { cwd: folder });
  return JSON.parse(stdout);
}

describe('the packed library', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'drover-test-'));
    await project(folder);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('tells the compiler of other projects its types', async () => {
    const good = `
      import { parseRobotState, verifyBundle, DroverError, type ErrorCode } from 'drover';
      import { LocalAgent, type ReadyHold } from 'drover/local';
      export const hold: ReadyHold = await new LocalAgent().holdReady({ holdS: 20 });
      export const version: string = (await verifyBundle('b', { trust: 't' })).version;
      export const at: number = parseRobotState(new Uint8Array()).at;
      export const lines: string[] = await new LocalAgent({ root: '/opt/robot' }).explain();
      export const code = (error: unknown): ErrorCode | null =>
        error instanceof DroverError ? error.code : null;
    `;
    await writeFile(join(folder, 'uses.ts'), good);
    await run(process.execPath, [TSC, '-p', '.'], { cwd: folder });
    await writeFile(join(folder, 'uses.ts'), good.replace('at: number', 'at: string'));
    await assert.rejects(run(process.execPath, [TSC, '-p', '.'], { cwd: folder }), {
      stdout: /uses\.ts\(6,\d+\): error TS2322/,
    });
  });

  it('verifies a bundle, and refuses one whose key is not trusted with the code of a robot', async (t) => {
    const site = await tempFolder(t);
    const path = (name: string): string => join(site, name);
    for (const name of ['release', 'rollout', 'stranger']) await makeKey(path(name));
    const keys = { release: path('release'), rollout: path('rollout'), out: path('trust.json') };
    await makeTrust(keys);
    await mkdir(path('app'));
    await writeFile(path('app/run'), 'echo hello');
    const version = '1.0.0';
    for (const key of ['release', 'stranger']) {
      const out = path(`by-${key}`);
      await makeBundle({ app: path('app'), version, options: [], out, key: path(key) });
    }
    const verify = (bundle: string): string => `
      import { verifyBundle } from 'drover';
      const options = ${JSON.stringify({ trust: keys.out })};
      const told = await verifyBundle(${JSON.stringify(bundle)}, options).catch(({ code }) => code);
      console.log(JSON.stringify(told));
    `;
    const { payloadSha256, ...told } = (await evaluate(
      folder,
      verify(path('by-release')),
    )) as Record<string, unknown>;
    assert.match(String(payloadSha256), /^[0-9a-f]{64}$/);
    assert.deepEqual(told, {
      ...{ name: 'app', version, targetArch: 'any', deltasFrom: [], attachments: [] },
      hasLogProof: false,
    });
    assert.equal(await evaluate(folder, verify(path('by-stranger'))), 'BUNDLE_SIGNATURE_BAD');
  });

  it('speaks with the agent of a robot, and says so when there is none', async (t) => {
    const site = await tempFolder(t);
    const root = join(site, 'robot');
    const ask = `
      import { LocalAgent } from 'drover/local';
      const agent = new LocalAgent(${JSON.stringify({ root })});
      const asked = async () => {
        await (await agent.holdReady({ holdS: 20, holder: 'arm' })).release();
        await agent.ready(false, 'lifting a pallet');
        await agent.telemetry({ tasksCompleted: 3 });
        const { robot_id: id, link } = await agent.status();
        return { id, isUp: link.up, lines: (await agent.explain()).length > 0 };
      };
      console.log(JSON.stringify(await asked().catch(({ code }) => code)));
    `;
    assert.equal(await evaluate(folder, ask), 'ROBOT_NOT_RUNNING');
    // The name of the wire is none of the library: it would be left out in silence.
    const misspelt = ask.replace('tasksCompleted', 'tasks_completed');
    for (const name of ['release', 'rollout']) await makeKey(join(site, name));
    const trust = join(site, 'trust.json');
    await makeTrust({ release: join(site, 'release'), rollout: join(site, 'rollout'), out: trust });
    const where = ['--root', root, '--broker', 'mqtt://127.0.0.1:9', '--trust', trust];
    const agent = startDrover(t, 'robot-client', ['--id', 'r1', ...where]);
    await agent.waitForOutput(/idle/);
    assert.deepEqual(await evaluate(folder, ask), { id: 'r1', isUp: false, lines: true });
    assert.equal(await evaluate(folder, misspelt), 'LOCAL_API_INVALID');
  });
});
