/** The errors of an attached broker whose engine refuses the connection. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { EngineLink, inWordsOfEngines } from '../../../broker/attached/link.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { makeLog } from '../../../shared/io/cli.ts';

/** Answers each CONNECT with this return code. */
async function startRefusing(t: TestContext, code: number): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', () => socket.end(Buffer.from([0x20, 2, 0, code])));
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  return `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a refused client id and a refused login have errors of their own, not that of an engine that is away', async (t) => {
  const expected = [
    [2, { code: 'CLIENT_ID_REFUSED', message: /client id drover-broker-1-control/, hint: /Roles/ }],
    [5, { code: 'BROKER_AUTH_REFUSED', hint: /--engine-password-file/ }],
  ] as const;
  for (const [code, failure] of expected) {
    const options = { url: await startRefusing(t, code), clientId: 'drover-broker-1-control' };
    await assert.rejects(EngineLink.open(options, {}, makeLog('test', 'silent')), failure);
  }
});

test('a hint that fits one failure stays, and a general one is about the engine', () => {
  const own = { hint: 'give the authority: --engine-ca FILE' };
  for (const [code, became] of [
    ['BROKER_UNREACHABLE', 'BROKER_UNREACHABLE'],
    ['ACCESS_DENIED', 'ENGINE_TOPIC_DENIED'],
    ['CERTIFICATE_REFUSED', 'CERTIFICATE_REFUSED'],
  ] as const) {
    const kept = inWordsOfEngines(new DroverError(code, 'reach broker', own));
    assert.deepEqual([kept.code, kept.hint], [became, own.hint]);
  }
  const general = inWordsOfEngines(new DroverError('BROKER_UNREACHABLE', 'reach broker'));
  assert.match(general.hint, /check --engine/);
});
