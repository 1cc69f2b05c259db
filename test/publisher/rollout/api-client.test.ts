/**
 * The client of the HTTP API: whatever a server answers, the caller gets bytes or a DroverError.
 */

import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { ApiClient } from '../../../publisher/rollout/api-client.ts';
import { watchRollout } from '../../../publisher/rollout/watch.ts';
import { DroverError } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { assertRefused } from '../../helpers/refusal.ts';

async function serve(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function refusalOf(call: Promise<Uint8Array>): Promise<DroverError> {
  const error: unknown = await call.then(
    () => assert.fail('was answered'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof DroverError, String(error));
  return error;
}

test('a refusal of the API arrives with its code, message and hint, made printable', async (t) => {
  const error = { code: 'ROLLOUT_FINAL', message: 'no\u001b[2J\nmore', hint: 'publish a fix' };
  const url = await serve(t, (_request, response) => {
    response.writeHead(409).end(JSON.stringify({ error }));
  });
  const refusal = await refusalOf(new ApiClient({ url, token: null }).get('/rollouts'));
  assert.equal(refusal.code, 'ROLLOUT_FINAL');
  assert.equal(refusal.message, 'no\\u{1b}[2J\\u{a}more');
  assert.equal(refusal.hint, 'publish a fix');
});

test('a code that only a newer broker knows, or a page of something between, is a refusal', async (t) => {
  const answers = ['{"error":{"code":"NEWER_CODE","message":"not today"}}', '<html>502</html>', ''];
  const url = await serve(t, (request, response) => {
    response.writeHead(502).end(answers[Number(request.url?.slice(1))]);
  });
  const api = new ApiClient({ url, token: null });
  const words = [/not today \[NEWER_CODE\]/, /HTTP status 502/, /HTTP status 502/];
  for (const [at, pattern] of words.entries()) {
    const refusal = await refusalOf(api.get(`/${at}`));
    assert.equal(refusal.code, 'BROKER_REFUSED');
    assert.match(refusal.message, pattern);
  }
});

test('the token goes to the broker that was named, and follows no redirect', async (t) => {
  const seen: (string | undefined)[] = [];
  const elsewhere = await serve(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.end('{}');
  });
  const url = await serve(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(307, { location: `${elsewhere}/rollouts` }).end();
  });
  const refusal = await refusalOf(new ApiClient({ url, token: 'abc' }).post('/x', { by: 'me' }));
  assert.equal(refusal.code, 'BROKER_UNREACHABLE');
  assert.deepEqual(seen, ['Bearer abc']);
});

test('an answer without an end is cut off at its bound', async (t) => {
  const piece = Buffer.alloc(256 * 1024, ' ');
  let sent = 0;
  const url = await serve(t, (_request, response) => {
    const more = (): void => {
      if (response.destroyed) return;
      sent += piece.byteLength;
      if (response.write(piece)) setImmediate(more);
      else response.once('drain', more);
    };
    more();
  });
  const refusal = await refusalOf(new ApiClient({ url, token: null }).get('/rollouts'));
  assert.equal(refusal.code, 'DOCUMENT_TOO_LARGE');
  assert.ok(sent < LIMITS.apiAnswerBytesMax * 4, String(sent));
});

test('a connection that ends in mid-answer is a broker that cannot be reached', async (t) => {
  const url = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{"rollouts":', () => response.destroy());
  });
  const refusal = await refusalOf(new ApiClient({ url, token: null }).get('/rollouts'));
  assert.equal(refusal.code, 'BROKER_UNREACHABLE');
  assert.equal(refusal.retry, 'later');
});

test('an API may stand below a path, and an address is nothing but an address', async (t) => {
  const paths: (string | undefined)[] = [];
  const url = await serve(t, (request, response) => {
    paths.push(request.url);
    response.end('{}');
  });
  for (const base of [url, `${url}/`, `${url}/site/a/`]) {
    await new ApiClient({ url: base, token: null }).get('/rollouts');
  }
  assert.deepEqual(paths, ['/rollouts', '/rollouts', '/site/a/rollouts']);
  for (const wrong of [
    '',
    'localhost:80',
    'ftp://x',
    'http://a:b@x',
    'http://x/?a=1',
    'http://x#b',
  ]) {
    assertRefused('USAGE', () => new ApiClient({ url: wrong, token: null }), /read --api/);
  }
  for (const token of ['', 'a b', 'a\nb', 'x'.repeat(513)]) {
    assertRefused('USAGE', () => new ApiClient({ url, token }), /^read token/);
  }
});

async function watchedUntilRefused(t: TestContext, more: object): Promise<DroverError> {
  const counts = { targeted: 2, running: 1, in_progress: 0, failed: 0, waiting: 0 };
  const attempts = { cohort: 1, reachable: 1, installed: 1, failed: 0, vanished: 0 };
  const run = {
    ...{ status: 'rolling', wave: 1, stages: 1, threshold: 1, reasons: [], waits_for: 'unable' },
    ...{ wave_opened_at: '2026-11-23T18:00:00Z', soak_until: null, gate: null },
    ...{ attempts: { ...attempts, unable: ['c2 SLOT_FOLDER'] }, controller: 'c', leading: true },
    ...more,
  };
  const rollout = {
    ...{ id: 'x', component: 'app', version: '2.0.0', waves: [{ percent: 100, soak_s: 0 }] },
    ...{ emergency: false, status: 'rolling', wave: 1, threshold: 1, reasons: [] },
    ...{ robots: { ...counts, excluded: { SLOT_FOLDER: 1 } }, run },
  };
  const url = await serve(t, (_request, response) => response.end(JSON.stringify(rollout)));
  const watched = watchRollout({
    ...{ api: new ApiClient({ url, token: null }), id: 'x', path: '/rollouts/x' },
    ...{ timeoutMs: 5_000, isWanted: () => true, show: () => undefined },
    note: (line) => assert.fail(line),
  });
  return await refusalOf(watched.then(() => new Uint8Array()));
}

test('a watch ends at once, and not as a broker that is away, when only sick robots are left', async (t) => {
  const refusal = await watchedUntilRefused(t, {});
  assert.deepEqual([refusal.code, refusal.exit], ['ROLLOUT_ROBOTS_UNABLE', 5]);
  assert.match(refusal.message, /c2 SLOT_FOLDER$/);
  const left = { status: 'rolling_back', cannot_go_back: ['c2 RECALL_IMPOSSIBLE'] };
  const recall = await watchedUntilRefused(t, left);
  assert.deepEqual([recall.code, recall.exit], ['ROLLOUT_ROBOTS_UNABLE', 5]);
  assert.match(recall.message, /cannot go back: c2 RECALL_IMPOSSIBLE$/);
  assert.match(recall.hint, /publish a fixed version/);
});
