/** `drover doctor` and `drover fleet robot` beside a real broker with users, and a real robot. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { it } from 'node:test';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild } from './broker-child.ts';
import { addUser, type Login } from './credentials.ts';
import { Site } from './site.ts';

interface Told {
  readonly ok: boolean;
  readonly findings: readonly { check: string; verdict: string; text: string }[];
}

/** Options of a login, for MQTT and for the API. */
async function loginOf(site: Site, { username, password }: Login): Promise<string[]> {
  const secret = site.path(`${username}.secret`);
  await writeFile(secret, password, { mode: 0o600 });
  return ['--username', username, '--password-file', secret, '--token-file', secret];
}

it('doctor says who may publish and finds MQTT by one URL, and fleet robot shows a robot from both doors', async (t) => {
  const site = await Site.open(t);
  const file = site.path('users.json');
  const ci = await loginOf(site, await addUser(file, 'ci', 'publisher'));
  const eva = await loginOf(site, await addUser(file, 'eva', 'technician'));
  const r1 = await loginOf(site, await addUser(file, 'r1', 'robot'));
  const broker = await startBrokerChild(t, { args: ['--credentials', file] });
  const mqtt = ['--broker', broker.url];
  const http = ['--api', broker.httpUrl];
  site.robot('r1', broker.url, r1.slice(0, 4));
  const bundle = await site.bundle('1.0.0');

  const shown = await waitUntil('the robot to report', async () => {
    const child = await site.tryDrover({}, 'fleet', 'robot', 'r1', ...http, ...ci.slice(4));
    return child.stdout.includes('component app') ? child.stdout : null;
  });
  assert.match(shown, /^robot {5}r1, online$/m);
  assert.match(shown, /^last seen /m);
  const retained = await site.drover('fleet', 'robot', 'r1', ...mqtt, ...ci.slice(0, 4));
  assert.match(retained, /^component app not installed: idle$/m);

  type Ended = Promise<{ code: number | null; told: Told }>;
  const doctor = async (login: string[], doors: string[]): Ended => {
    const key = ['--key', site.path('rollout.key'), '--trust', site.path('trust.json')];
    const words = ['doctor', bundle, ...doors, ...key, ...login, '--json'];
    const child = await site.tryDrover({}, ...words);
    return { code: child.ended?.code ?? null, told: JSON.parse(child.stdout) as Told };
  };
  const [publisher, technician] = await Promise.all([
    doctor(ci, ['--url', broker.httpUrl]),
    doctor(eva, [...mqtt, ...http]),
  ]);
  const verdicts = ({ told }: typeof publisher): string[] =>
    told.findings.map(({ check, verdict }) => `${check} ${verdict}`);
  assert.deepEqual(verdicts(publisher), [
    ...['programs ok', 'disk ok', 'trust ok', 'key ok', 'broker ok', 'login ok', 'role ok'],
    ...['api ok', 'api ok', 'clock ok', 'leader warn', 'announcement ok', 'robots ok'],
    ...['bundle ok', 'forecast ok'],
  ]);
  assert.deepEqual([publisher.code, publisher.told.ok], [0, true]);
  assert.deepEqual([technician.code, technician.told.ok], [3, false]);
  assert.ok(verdicts(technician).includes('role fail'));
});
