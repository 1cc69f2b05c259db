/** Webhooks against real HTTP receivers that fail, hang, redirect and are not there. */

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { readWebhooks } from '../../../broker/commands/webhook-settings.ts';
import {
  parseWebhookSecret,
  parseWebhookUrl,
  shownUrl,
} from '../../../broker/webhooks/post-message.ts';
import { Webhooks } from '../../../broker/webhooks/webhooks.ts';
import type { Log } from '../../../shared/base/ports.ts';
import { makeLog } from '../../../shared/io/cli.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const SECRET = randomBytes(32);
const ENTRY = { rollout: 'x-1', seq: 3, at: '2026-06-01T00:00:00.000Z', kind: 'halted' };

interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface TestReceiver {
  readonly url: URL;
  readonly received: readonly Received[];
}

async function receiver(
  t: TestContext,
  answer: (response: ServerResponse, count: number) => void,
  port = 0,
): Promise<TestReceiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      received.push({ headers: request.headers, body });
      answer(response, received.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?key=1`);
  return { url, received };
}

function webhooksTo(t: TestContext, urls: readonly URL[], log: Log = makeLog('test', 'silent')) {
  const outcomes: string[] = [];
  const webhooks = new Webhooks({
    targets: urls.map((url) => ({ url, secret: SECRET, ca: null })),
    onOutcome: (outcome) => outcomes.push(outcome),
    ...{ log, times: { timeoutMs: 300, retry: { minMs: 20, maxMs: 2_000 } } },
  });
  t.after(() => webhooks.close());
  return { webhooks, outcomes };
}

const status = (code: number) => (response: ServerResponse) => {
  response.statusCode = code;
  response.end();
};

/** As a receiver checks it, from the words of Standard Webhooks. */
function assertSigned({ headers, body }: Received): void {
  const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = headers;
  const mac = createHmac('sha256', SECRET).update(`${String(id)}.${String(at)}.${body}`);
  assert.equal(signature, `v1,${mac.digest('base64')}`);
  assert.ok(Math.abs(Number(at) - Date.now() / 1000) < 60);
}

describe('webhooks', () => {
  it('are signed as Standard Webhooks, and repeated under one id until a receiver takes them', async (t) => {
    const { url, received } = await receiver(t, (response, count) =>
      status(count < 3 ? 503 : 200)(response),
    );
    const { webhooks, outcomes } = webhooksTo(t, [url]);
    webhooks.send(ENTRY);
    await waitUntil('the delivery', () => outcomes.length > 0);
    assert.equal(received.length, 3);
    for (const one of received) assertSigned(one);
    assert.equal(new Set(received.map(({ headers }) => headers['webhook-id'])).size, 1);
    assert.deepEqual(JSON.parse(received[0]?.body ?? ''), {
      ...{ type: 'rollout.halted', timestamp: ENTRY.at, data: ENTRY },
    });
    const [view] = webhooks.view();
    assert.deepEqual([view?.delivered, view?.waiting], [1, 0]);
    assert.deepEqual([view?.deliveries[0]?.state, view?.deliveries[0]?.attempts], ['delivered', 3]);
  });

  it('a receiver that hangs or is not there does not hold up another one, nor a stop', async (t) => {
    const slow = await receiver(t, () => undefined);
    const good = await receiver(t, status(204));
    const gone = new URL('http://127.0.0.1:9/');
    const { webhooks, outcomes } = webhooksTo(t, [slow.url, gone, good.url]);
    for (const seq of [1, 2, 3]) webhooks.send({ ...ENTRY, seq });
    await waitUntil('the good one', () => outcomes.length === 3);
    assert.deepEqual(new Set(outcomes), new Set(['delivered']));
    await waitUntil('a failure of each', () =>
      webhooks
        .view()
        .slice(0, 2)
        .every(({ deliveries }) => deliveries.some((one) => one.problem)),
    );
    const [hung, refused] = webhooks.view();
    assert.ok(hung?.deliveries.some(({ problem }) => problem === 'no answer within 0.3 s'));
    assert.ok(refused?.deliveries.some(({ problem }) => problem?.includes('ECONNREFUSED')));
    await webhooks.close();
    webhooks.send(ENTRY); // after the stop it is ignored
    assert.deepEqual([webhooks.view()[0]?.waiting, good.received.length], [3, 3]);
  });

  it('follow no redirect', async (t) => {
    const other = await receiver(t, status(200));
    const { url, received } = await receiver(t, (response) => {
      response.setHeader('location', other.url.href);
      status(307)(response);
    });
    const { webhooks } = webhooksTo(t, [url]);
    webhooks.send(ENTRY);
    await waitUntil('the answer', () => webhooks.view()[0]?.deliveries[0]?.status === 307);
    assert.deepEqual([received.length, other.received.length], [1, 0]);
  });

  it('of one host are distinguished by their place on the command line', async (t) => {
    const numbers = new Set<unknown>();
    const note = (facts: object): void => void numbers.add((facts as { number?: number }).number);
    const log: Log = { ...makeLog('test', 'silent'), warn: note, error: note };
    const urls = ['a', 'b'].map((path) => new URL(`http://127.0.0.1:9/${path}`));
    const { webhooks } = webhooksTo(t, urls, log);
    webhooks.send(ENTRY);
    await waitUntil('a failure of each', () => numbers.size === 2);
    assert.deepEqual(
      webhooks.view().map(({ number, url }) => [number, url]),
      [
        [1, 'http://127.0.0.1:9/…'],
        [2, 'http://127.0.0.1:9/…'],
      ],
    );
    assert.deepEqual([...numbers].sort(), [1, 2]);
  });

  it('never show the user, the path or the query of a URL', async (t) => {
    const url = parseWebhookUrl('http://user:word@127.0.0.1:9/room/secret?key=hidden');
    assert.equal(shownUrl(url), 'http://127.0.0.1:9/…');
    const lines: string[] = [];
    const note = (facts: object, text: string): void =>
      void lines.push(`${JSON.stringify(facts)} ${text}`);
    const log: Log = { ...makeLog('test', 'silent'), info: note, warn: note, error: note };
    const { webhooks } = webhooksTo(t, [url], log);
    webhooks.send(ENTRY);
    await waitUntil('a failure', () => lines.length > 0);
    await webhooks.close();
    const shown = [...lines, JSON.stringify(webhooks.view())].join('\n');
    assert.match(shown, /127\.0\.0\.1:9/);
    assert.doesNotMatch(shown, /user|word@|room|secret|hidden/);
  });
});

describe('the options of webhooks', () => {
  const log = makeLog('test', 'silent');

  it('want a URL, a secret for it, and a broker that leads', () => {
    const url = ['https://example.com/x?token=abc'];
    for (const [args, isLeading, why] of [
      [{ webhook: url, 'webhook-secret-file': ['a'] }, false, /leads no rollouts/],
      [
        { webhook: [...url, ...url, ...url], 'webhook-secret-file': ['a', 'b'] },
        true,
        /one for each/,
      ],
      [{ webhook: Array.from({ length: 9 }, () => url[0] ?? '') }, true, /too many/],
    ] as const) {
      const given = { 'webhook-secret-file': [], 'webhook-ca': undefined, ...args };
      const read = () =>
        readWebhooks(
          {
            ...given,
            webhook: [...given.webhook],
            'webhook-secret-file': [...given['webhook-secret-file']],
          },
          isLeading,
          log,
        );
      assert.throws(read, (error: Error) => why.test(error.message) && !/abc/.test(error.message));
    }
    assert.throws(() => parseWebhookUrl('ftp://x:hidden@y'), /^(?!.*hidden).*not an HTTP URL/);
  });

  it('take a secret of Standard Webhooks, and repeat none in a refusal', () => {
    const secret = parseWebhookSecret(`whsec_${SECRET.toString('base64')}`);
    assert.deepEqual(Buffer.from(secret), SECRET);
    for (const wrong of ['hunter2', 'whsec_aGk=', `whsec_${'A'.repeat(200)}`]) {
      assert.throws(
        () => parseWebhookSecret(wrong),
        (error: Error) => !error.message.includes(wrong),
      );
    }
  });
});
