/** A robot that does not come back is retired: nobody counts it any more, until it reports again. */

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { startDrover } from '../helpers/child.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { AttachedChild } from './attached-child.ts';
import { startBrokerChild } from './broker-child.ts';
import { Site } from './site.ts';

interface Said {
  readonly code: number | null;
  readonly all: string;
}

async function drover(t: TestContext, ...args: string[]): Promise<Said> {
  const child = startDrover(t, 'publisher', args);
  const { code } = await child.exit;
  return { code, all: child.describe() };
}

/** @param done the refusal that shows that it is retired; null where the command succeeds */
async function retires(
  t: TestContext,
  site: Site,
  { mqtt, api, done }: { mqtt: string; api: string; done: RegExp | null },
): Promise<void> {
  const robot = site.robot('r9', mqtt);
  const listed = async (): Promise<string> =>
    (await drover(t, 'fleet', 'robots', '--broker', mqtt)).all;
  const known = async (): Promise<number> => (await fetch(`${api}/robots/r9`)).status;
  await waitUntil('it to report', async () => (await known()) === 200);
  const early = await drover(t, 'fleet', 'retire', 'r9', '--api', api);
  assert.equal(early.code, 3, early.all);
  assert.match(early.all, /it is connected \(ROBOT_ONLINE\)/);
  assert.match(await listed(), /r9/);

  await robot.kill();
  const retired = await waitUntil(
    'it to be away, and retired',
    async () => {
      const more = done === null ? [] : ['--revoke'];
      const said = await drover(t, 'fleet', 'retire', 'r9', '--api', api, ...more);
      return said.code === 0 || done?.test(said.all) === true ? said : null;
    },
    { timeoutMs: 30_000 },
  );
  assert.match(retired.all, done ?? /retired r9/);
  assert.equal(retired.code, done === null ? 0 : 3, 'a login that stays good is no success');
  assert.equal(await known(), 404);
  assert.doesNotMatch(await listed(), /r9/);
  const again = await drover(t, 'fleet', 'retire', 'r9', '--api', api);
  assert.equal(again.code, 3, again.all);
  assert.match(again.all, /NOT_FOUND[^]*drover fleet revoke r9/);
}

test('a robot that is away is retired on our broker', async (t) => {
  const site = await Site.open(t);
  const broker = await startBrokerChild(t);
  await retires(t, site, { mqtt: broker.url, api: broker.httpUrl, done: /CREDENTIAL_STAYS/ });
});

test('a robot that is away is retired on an external engine', async (t) => {
  const mosquitto = await startMosquitto(t);
  if (!mosquitto) return;
  const site = await Site.open(t);
  const broker = await AttachedChild.start(t, site, { engine: mosquitto.url, data: 'watch' });
  await retires(t, site, { mqtt: mosquitto.url, api: broker.url, done: null });
});
