/** `drover import --dry-run` refuses what the import itself would refuse, with the same code. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

interface Answer {
  readonly code: string | null;
  readonly result: { mode?: string; bundles?: { rollout: string | null }[] };
}

interface Stage {
  readonly site: Site;
  readonly url: string;
  /** A file with these versions. */
  file(name: string, ...versions: string[]): Promise<string>;
  run(file: string, ...more: string[]): Promise<Answer>;
  announced(): Promise<readonly string[]>;
}

async function stageOf(t: TestContext): Promise<Stage> {
  const site = await Site.open(t);
  const trust = ['--trust', site.path('trust.json')];
  const { url, httpUrl } = await startBrokerChild(t, { args: trust });
  const at = ['--broker', url, ...trust, '--into', site.path('kept')];
  const tried = async (...args: string[]): Promise<Answer> => {
    const child = await site.tryDrover({}, ...args, '--json');
    const result = JSON.parse(child.stdout) as Answer['result'] & { error?: { code: string } };
    return { code: result.error?.code ?? null, result };
  };
  return {
    site,
    url,
    file: async (name, ...versions) => {
      const folders: string[] = [];
      for (const version of versions) {
        const folder = site.path(`bundles/${version}`);
        folders.push(existsSync(folder) ? folder : await site.bundle(version));
      }
      await site.drover('export', ...folders, ...trust, '--out', site.path(name));
      return site.path(name);
    },
    run: async (file, ...more) =>
      await tried('import', file, ...at, '--key', site.path('rollout.key'), ...more),
    announced: async () => {
      const answer = await fetch(`${httpUrl}/rollouts`);
      const { rollouts } = (await answer.json()) as { rollouts: { id: string }[] };
      return rollouts.map(({ id }) => id);
    },
  };
}

/** First without, and then with changing anything: the same answer, and nothing left of the first. */
async function both(stage: Stage, file: string, ...more: string[]): Promise<Answer> {
  const { site, run, announced } = stage;
  const names = await readdir(site.folder, { recursive: true });
  const before = await announced();
  const dry = await run(file, ...more, '--dry-run');
  assert.deepEqual(await readdir(site.folder, { recursive: true }), names, 'nothing was left');
  assert.deepEqual(await announced(), before, 'nothing was announced');
  const real = await run(file, ...more);
  assert.equal(dry.code, real.code);
  assert.equal(dry.result.mode, real.result.mode);
  assert.deepEqual(
    dry.result.bundles?.map(({ rollout }) => rollout),
    real.result.bundles?.map(({ rollout }) => rollout),
  );
  return real;
}

describe('a dry run of an import', () => {
  it('says of another rollout for the same robots what the import says', async (t) => {
    const stage = await stageOf(t);
    const { site, url, file } = stage;
    await site.publish(url, await site.bundle('1.0.0'), '--id', 'first', '--waves', '10,100');
    const one = await file('one', '1.1.0');
    assert.equal((await both(stage, one)).code, 'ROLLOUT_OVERLAP');
    assert.equal((await both(stage, one, '--supersede', 'nobody')).code, 'NOT_FOUND');
    assert.equal((await both(stage, one, '--chunk-size', '3m')).code, 'CHUNK_TOO_LARGE');
    assert.equal((await both(stage, one, '--supersede', 'first')).code, null);
    assert.equal((await both(stage, one)).code, null, 'a second time it is there');
  });

  it('sees that two in one file meet on one robot', async (t) => {
    const stage = await stageOf(t);
    const two = await stage.file('two', '1.0.0', '1.1.0');
    assert.equal((await both(stage, two, '--waves', '10,100')).code, 'ROLLOUT_OVERLAP');
  });

  it('lets one of two end a rollout that was named', async (t) => {
    const stage = await stageOf(t);
    const { site, url, file } = stage;
    await site.publish(url, await site.bundle('1.0.0'), '--id', 'first', '--waves', '10,100');
    const two = await file('two', '1.1.0', '1.2.0');
    const words = ['--supersede', 'first', '--alongside'];
    assert.equal((await both(stage, two, ...words)).code, null);
    assert.equal((await stage.announced()).includes('first'), false);
  });

  it('says that a version is announced with other bytes, or stands there', async (t) => {
    const stage = await stageOf(t);
    const { site, url, file } = stage;
    const one = await file('one', '1.0.0');
    await rm(site.path('bundles/1.0.0'), { recursive: true });
    await site.publish(url, await site.bundle('1.0.0', { more: 'of another build' }), '--id', 'r');
    assert.equal((await both(stage, one, '--supersede', 'r')).code, 'VERSION_REUSED');
    await rm(site.path('kept'), { recursive: true });
    await mkdir(site.path('kept/app-1.0.0'), { recursive: true });
    await writeFile(join(site.path('kept/app-1.0.0'), 'manifest.json'), '{}');
    assert.equal((await both(stage, one)).code, 'FILE_EXISTS');
  });
});
