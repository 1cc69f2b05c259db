/**
 * Stock engines after a power cut that damaged what they keep: each starts again, by its own means
 * or with what examples/ has for it, and the attached broker gives back what was lost.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startChild } from '../helpers/child.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { startNats } from '../helpers/nats.ts';
import { repositoryFile } from '../helpers/repository.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild, type ApiRollout } from './attached-child.ts';
import { attachTo, openLossStage, ROLLOUT } from './loss-stage.ts';
import { Site } from './site.ts';

const isComplete = ({ store }: ApiRollout): boolean => store?.status === 'complete';
const SET_ASIDE = repositoryFile('examples/mosquitto/set-aside-damaged-database');

describe('a stock engine after a power cut', () => {
  it('mosquitto starts again when its database is full of null bytes, and has all of it back', async (t) => {
    const stage = await openLossStage(t);
    if (!stage) return;
    const { engine, site, chunks, stranger } = stage;
    const broker = await attachTo(t, stage);
    await broker.until(ROLLOUT, 'is looked at', isComplete);
    await stranger.close();
    const database = join(engine.folder, 'mosquitto.db');
    engine.child.kill('SIGUSR1'); // it saves now
    await waitUntil('the database', async () => existsSync(database));
    engine.child.kill('SIGKILL');
    await engine.child.exit;
    await writeFile(database, new Uint8Array((await stat(database)).size));

    const again = { port: engine.port, folder: engine.folder };
    await assert.rejects(startMosquitto(t, again), /Couldn't open database/);
    const env = { SERVICE_RESULT: 'exit-code' }; // as systemd says it to ExecStopPost=
    const setAside = startChild(t, 'sh', [SET_ASIDE, database], { env });
    await setAside.exit;
    assert.match(setAside.stdout, /set aside as .*mosquitto\.db\.damaged/);
    assert.ok(existsSync(`${database}.damaged`));
    assert.ok(await startMosquitto(t, again));
    await broker.until(ROLLOUT, 'is put back', (one) => one.store?.restored === chunks.size);
    await site.robot('r1', engine.url).runs('1.0.0', 60_000);
  });

  it('a database that mosquitto can read stays where it is, however mosquitto ended', async (t) => {
    const engine = await startMosquitto(t);
    if (!engine) return;
    const database = join(engine.folder, 'mosquitto.db');
    engine.child.kill('SIGUSR1');
    await waitUntil('the database', async () => existsSync(database));
    engine.child.kill('SIGKILL');
    await engine.child.exit;
    const env = { SERVICE_RESULT: 'exit-code' };
    const setAside = startChild(t, 'sh', [SET_ASIDE, database], { env });
    await setAside.exit;
    assert.deepEqual([setAside.ended?.code, setAside.stdout], [0, '']);
    assert.deepEqual(
      (await readdir(engine.folder)).filter((name) => name !== 'test.conf'),
      ['mosquitto.db'],
    );
  });

  it('NATS starts again when half of what it retained is gone, and has all of it back', async (t) => {
    const engine = await startNats(t);
    if (!engine) return;
    const site = await Site.open(t);
    const bundle = await site.bundle('1.0.0', { noise: randomBytes(500_000) });
    await site.publish(engine.url, bundle, '--chunk-size', '64k', '--id', ROLLOUT);
    const options = { engine: engine.url, data: 'broker', leads: false };
    const args = ['--engine-profile', 'nats'];
    const broker = await AttachedChild.start(t, site, { ...options, args });
    await broker.until(ROLLOUT, 'is looked at', isComplete);
    engine.child.kill('SIGKILL');
    await engine.child.exit;
    assert.ok((await cutMessages(engine.folder)) > 0);
    assert.ok(await startNats(t, { port: engine.port, folder: engine.folder }));
    const isBack = (one: ApiRollout): boolean => isComplete(one) && (one.store?.restored ?? 0) > 0;
    await broker.until(ROLLOUT, 'is put back', isBack);
    await site.robot('r1', engine.url).runs('1.0.0', 90_000);
  });
});

/** Cuts the second half of each file of messages, as if it was not synced yet. */
async function cutMessages(folder: string): Promise<number> {
  const all = await readdir(folder, { recursive: true });
  const blocks = all.filter((name) => /rmsgs.*\.blk$/.test(name)).map((name) => join(folder, name));
  for (const block of blocks) await truncate(block, Math.floor((await stat(block)).size / 2));
  return blocks.length;
}
