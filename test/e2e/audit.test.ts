/**
 * The audit chain of a real broker: decisions of people and keys, a kill in the middle, a change of
 * the users while nothing runs, and exports that somebody changed.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it, type TestContext } from 'node:test';
import type { AuditRecord } from '../../shared/formats/audit-record.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { startBrokerChild, type BrokerChild } from './broker-child.ts';
import { addUser } from './credentials.ts';
import { Site } from './site.ts';

it('the audit chain has what people and keys decided, over a kill, and shows each change of it', async (t) => {
  const site = await Site.open(t);
  const users = site.path('users.json');
  const alice = await addUser(users, 'alice', 'publisher');
  const token = site.path('alice.token');
  await writeFile(token, alice.password);
  const data = site.path('data');
  const args = [
    ...['--credentials', users, '--trust', site.path('trust.json')],
    ...['--rollout-key', site.path('rollout.key'), '--controller-start', '0s', '--lease', '8s'],
  ];
  const called = await receiver(t, site, args);
  let broker: BrokerChild = await startBrokerChild(t, { data, args });
  const call = async (path: string, body?: object): Promise<Response> => {
    const headers = { authorization: `Bearer ${alice.password}` };
    if (!body) return await fetch(broker.httpUrl + path, { headers });
    const asJson = { ...headers, 'content-type': 'application/json' };
    const init = { method: 'POST', headers: asJson, body: JSON.stringify(body) };
    return await fetch(broker.httpUrl + path, init);
  };
  const login = ['--username', 'alice', '--password-file', token];
  await site.publish(broker.url, await site.bundle('1.0.0'), '--id', 'app-1', ...login);
  await waitUntil('the rollout to be led and stopped', async () => {
    const said = await call('/rollouts/app-1/rollback', { reason: 'line 2' });
    return said.status === 200;
  });
  const { type, data: decided } = await waitUntil('the webhook', () => called()[0]);
  assert.deepEqual([type, decided.rollout], ['rollout.rolling_back', 'app-1']);
  broker.child.kill('SIGKILL');
  await broker.child.exit;
  await addUser(users, 'bob', 'technician');

  broker = await startBrokerChild(t, { data, args });
  const records = async (): Promise<AuditRecord[]> => {
    const text = await (await call('/audit')).text();
    const lines = text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as AuditRecord);
  };
  assertRecorded(await records());
  await exportsAndVerifies(site, ['--api', broker.httpUrl, '--token-file', token]);
});

interface Called {
  readonly type: string;
  readonly data: { readonly rollout: string };
}

/** Adds a webhook to the options of the broker. @returns what it was sent so far */
async function receiver(t: TestContext, site: Site, args: string[]): Promise<() => Called[]> {
  const bodies: Called[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      bodies.push(JSON.parse(body) as Called);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const secret = site.path('webhook.secret');
  await writeFile(secret, `whsec_${randomBytes(32).toString('base64')}\n`);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  args.push('--webhook', url, '--webhook-secret-file', secret);
  return () => bodies;
}

function assertRecorded(records: readonly AuditRecord[]): void {
  const kinds = records.map(({ kind, subject, by }) => `${kind} ${subject} ${by}`);
  for (const want of [
    /^chain\.began /,
    /^broker\.configured /,
    /^user\.listed /,
    /^trust\.changed test trust\.json/,
    /^announcement\.changed {2}key [0-9a-f]+$/,
    /^rollout\.announced app-1 key /,
    /^rollout\.rolling_back app-1 alice/,
    /^user\.added bob credentials file/,
  ]) {
    assert.equal(kinds.filter((one) => want.test(one)).length, 1, `${want}: ${kinds.join('\n')}`);
  }
}

async function exportsAndVerifies(site: Site, api: readonly string[]): Promise<void> {
  const file = site.path('audit.jsonl');
  const exported = await site.drover('audit', 'export', ...api, '--out', file);
  const head = /^head: \d+ ([0-9a-f]{64})$/m.exec(exported)?.[1] ?? '';
  const verify = async (...words: string[]): Promise<{ code: number | null; all: string }> => {
    const child = await site.tryDrover({}, 'audit', 'verify', file, ...words);
    return { code: child.ended?.code ?? null, all: child.describe() };
  };
  const good = await verify('--head', head);
  assert.equal(good.code, 0, good.all);
  assert.match(good.all, /ok: .* 1 to \d+; each follows the one before\n.*ok: it has the head/);

  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('line 2', 'line 3'));
  const edited = await verify('--head', head);
  assert.equal(edited.code, 3, edited.all);
  assert.match(edited.all, /entry \d+ does not follow entry \d+ as it is here/);
  await writeFile(file, text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1));
  const cut = await verify('--head', head);
  assert.equal(cut.code, 3, cut.all);
  assert.match(cut.all, /no entry has the hash .*AUDIT_CUT/);
}
