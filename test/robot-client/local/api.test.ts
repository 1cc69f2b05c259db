import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { createServer, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import fc from 'fast-check';
import { startLocalApi, type LocalHandlers } from '../../../robot-client/local/api.ts';
import { callLocalApi } from '../../../robot-client/local/client.ts';
import type { ErrorCode } from '../../../shared/base/error-catalogue.ts';
import { DroverError, isErrorCode } from '../../../shared/base/errors.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { startDrover } from '../../helpers/child.ts';

const root = fs.mkdtempSync(join(tmpdir(), 'drover-api-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));
let sockets = 0;
const newPath = () => join(root, `${(sockets += 1)}.sock`);
const log = { debug() {}, info() {}, warn() {}, error() {} };

/** An API that writes down what it was asked. */
async function startApi(more: Partial<LocalHandlers> = {}, socketPath = newPath()) {
  const calls: unknown[] = [];
  const note = (what: string) => (request?: object) => {
    calls.push([what, request]);
    return { ok: true };
  };
  const handlers: LocalHandlers = {
    status: () => ({ version: '1.2.3', phase: 'idle' }),
    explain: () => ({ lines: ['it waits'] }),
    telemetry: note('telemetry'),
    ready: note('ready'),
    confirm: note('confirm'),
    retry: () => ({ retried: 1 }),
    unblock: note('unblock'),
    gone: note('gone'),
    ...more,
  };
  const api = await startLocalApi({ socketPath, handlers, log });
  return { socketPath, calls, ...api };
}

async function talk(socketPath: string, bytes: string | Uint8Array): Promise<string> {
  const socket = connect(socketPath);
  socket.end(bytes);
  let said = '';
  try {
    for await (const piece of socket as AsyncIterable<Buffer>) said += piece.toString('latin1');
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET');
  }
  return said;
}

function post(path: string, body: string | Uint8Array): Buffer {
  const bytes = Buffer.from(body);
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`;
  return Buffer.concat([Buffer.from(`${head}Content-Length: ${bytes.byteLength}\r\n\r\n`), bytes]);
}

const refusedWith =
  (code: ErrorCode, words = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof DroverError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  };

test('each route hands its request to its handler and the answer back', async () => {
  const api = await startApi();
  const call = (method: 'GET' | 'POST', path: string, body?: object) =>
    callLocalApi(api.socketPath, method, path, body);
  assert.deepEqual(await call('GET', '/status'), { version: '1.2.3', phase: 'idle' });
  assert.deepEqual(await call('GET', '/explain'), { lines: ['it waits'] });
  assert.deepEqual(await call('POST', '/telemetry', { tasks_completed: 3 }), { ok: true });
  await call('POST', '/ready', { ready: false, reason: 'docking' });
  await call('POST', '/ready', { hold_s: 20, holder: 'arm' });
  await call('POST', '/confirm');
  await call('POST', '/confirm', {});
  await call('POST', '/unblock', { version: '1.4.2', component: 'nav' });
  await call('POST', '/gone', { computers: ['perception'] });
  assert.deepEqual(api.calls, [
    ['telemetry', { tasks_completed: 3, tasks_failed: 0, crashes: 0 }],
    ['ready', { ready: false, reason: 'docking' }],
    ['ready', { ready: true, hold_s: 20, holder: 'arm' }],
    ['confirm', {}],
    ['confirm', {}],
    ['unblock', { version: '1.4.2', component: 'nav' }],
    ['gone', { computers: ['perception'], for_good: false }],
  ]);
  assert.equal(fs.statSync(api.socketPath).mode & 0o777, 0o660);
  await api.close();
  assert.equal(fs.existsSync(api.socketPath), false);
});

test('an invalid request to this API is refused with a code and reaches no handler', async () => {
  const api = await startApi();
  const refuses = async (path: string, body: object, code: ErrorCode, words?: RegExp) =>
    assert.rejects(
      callLocalApi(api.socketPath, 'POST', path, body),
      refusedWith(code, words ?? /./),
    );
  await refuses('/nothing', {}, 'NOT_FOUND', /\/telemetry/);
  await refuses('/status', {}, 'LOCAL_API_INVALID', /want GET/);
  await refuses('/telemetry', { tasks_complete: 1 }, 'LOCAL_API_INVALID', /tasks_complete/);
  await refuses('/telemetry', { crashes: -1 }, 'LOCAL_API_INVALID', /field crashes/);
  await refuses('/telemetry', { crashes: 0.5 }, 'LOCAL_API_INVALID', /field crashes/);
  await refuses('/telemetry', { crashes: 1e15 }, 'LOCAL_API_INVALID', /field crashes/);
  await refuses('/telemetry', [], 'LOCAL_API_INVALID');
  await refuses('/ready', {}, 'LOCAL_API_INVALID', /field ready/);
  for (const seconds of [0, 0.5, 3601, '20']) {
    await refuses('/ready', { hold_s: seconds }, 'LOCAL_API_INVALID', /field hold_s/);
  }
  await refuses('/ready', { ready: false, hold_s: 5 }, 'LOCAL_API_INVALID', /field hold_s/);
  await refuses('/ready', { hold_s: 5, holder: 'a b' }, 'LOCAL_API_INVALID', /field holder/);
  await refuses('/ready', { ready: 'yes' }, 'LOCAL_API_INVALID', /field ready/);
  await refuses('/confirm', { version: '1.0.0' }, 'LOCAL_API_INVALID');
  await refuses('/gone', { computers: [] }, 'LOCAL_API_INVALID', /field computers/);
  await refuses('/unblock', { version: 'latest' }, 'LOCAL_API_INVALID', /field version/);
  await refuses('/telemetry', { x: 'y'.repeat(20_000) }, 'DOCUMENT_TOO_LARGE', /16384/);
  assert.deepEqual(api.calls, []);
  await api.close();
});

test('bodies that JSON.parse would take in two ways are refused', async () => {
  const api = await startApi();
  const bodies = ['{"ready":false,"ready":true}', '{"__proto__":{"ready":true}}', '{', '\ufeff{}'];
  for (const body of [...bodies, Buffer.from([0x7b, 0xff, 0x7d])]) {
    const said = await talk(api.socketPath, post('/ready', body));
    assert.match(said, /^HTTP\/1\.1 400 /);
    assert.match(said, /"code":"(JSON_INVALID|LOCAL_API_INVALID)"/);
  }
  assert.deepEqual(api.calls, []);
  await api.close();
});

test('statuses fit their codes', async () => {
  const api = await startApi({
    confirm: () => {
      throw new DroverError('ROLLBACK_FAILED', 'confirm: nothing runs');
    },
    unblock: () => Promise.reject(new Error('secret detail')),
  });
  const statusOf = async (request: Uint8Array | string) =>
    Number((await talk(api.socketPath, request)).split(' ')[1]);
  assert.equal(await statusOf(post('/confirm', '')), 409);
  assert.equal(await statusOf(post('/nothing', '')), 404);
  assert.equal(await statusOf(post('/status', '')), 405);
  assert.equal(await statusOf(post('/ready', 'x')), 400);
  assert.equal(await statusOf(post('/ready', ' '.repeat(17_000))), 413);
  assert.equal(await statusOf(post('/unblock', '{"version":"1.0.0"}')), 500);
  const failed = callLocalApi(api.socketPath, 'POST', '/unblock', { version: '1.0.0' });
  await assert.rejects(failed, (error) => {
    assert.ok(error instanceof DroverError && error.code === 'INTERNAL');
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
  await api.close();
});

test('any bytes on the socket get an answer or a closed connection, and the next caller is served', async () => {
  const api = await startApi();
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => Buffer.from(text)),
  );
  const path = fc.constantFrom('/telemetry', '/ready', '/confirm', '/unblock', '/x');
  await fc.assert(
    fc.asyncProperty(path, body, fc.uint8Array({ maxLength: 100 }), async (at, bytes, raw) => {
      const said = await talk(api.socketPath, post(at, bytes));
      assert.match(said, /^HTTP\/1\.1 (200|400|404|413) /);
      const json = JSON.parse(said.slice(said.indexOf('\r\n\r\n') + 4)) as {
        error?: { code: string };
      };
      if (json.error) assert.ok(isErrorCode(json.error.code));
      await talk(api.socketPath, raw);
    }),
    { numRuns: 100 },
  );
  assert.deepEqual(await callLocalApi(api.socketPath, 'GET', '/status'), {
    version: '1.2.3',
    phase: 'idle',
  });
  await api.close();
});

test('a caller that never finishes its request is hung up on', async () => {
  const api = await startApi();
  const sockets = [
    '',
    'GET /sta',
    'POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{',
  ].map((start) => {
    const socket = connect(api.socketPath);
    socket.on('error', () => {}); // a reset is one way to be hung up on
    socket.resume();
    socket.write(start);
    return once(socket, 'close');
  });
  await Promise.all(sockets);
  await api.close();
});

test('callers above the limit are turned away and places are given back', async () => {
  const api = await startApi();
  const held: Socket[] = [];
  for (let at = 0; at < LIMITS.localConnectionsMax; at += 1) {
    const socket = connect(api.socketPath);
    await once(socket, 'connect');
    held.push(socket);
  }
  await assert.rejects(
    callLocalApi(api.socketPath, 'GET', '/status'),
    refusedWith('ROBOT_NOT_RUNNING'),
  );
  for (const socket of held) socket.destroy();
  for (let tries = 0; ; tries += 1) {
    try {
      await callLocalApi(api.socketPath, 'GET', '/status');
      break;
    } catch (error) {
      if (tries > 100) throw error; // the server sees a closed connection a moment later
    }
  }
  await api.close();
});

test('the socket of a living agent is left alone, and says so', async () => {
  const first = await startApi();
  await assert.rejects(startApi({}, first.socketPath), refusedWith('ROBOT_ALREADY_RUNNING'));
  assert.ok(await callLocalApi(first.socketPath, 'GET', '/status'));
  await first.close();
});

test('the socket of an agent that was killed is replaced', async () => {
  const socketPath = newPath();
  const script = join(root, 'dead-agent.mjs');
  fs.writeFileSync(
    script,
    `import { createServer } from 'node:net';
     createServer().listen(${JSON.stringify(socketPath)}, () => process.send('up'));`,
  );
  const agent = fork(script);
  await once(agent, 'message');
  agent.kill('SIGKILL');
  await once(agent, 'exit');
  assert.ok(fs.lstatSync(socketPath).isSocket());
  await assert.rejects(
    callLocalApi(socketPath, 'GET', '/status'),
    refusedWith('ROBOT_NOT_RUNNING', /nobody listens/),
  );
  const api = await startApi({}, socketPath);
  assert.ok(await callLocalApi(socketPath, 'GET', '/status'));
  await api.close();
});

test('a path that cannot be a socket is refused with the reason', async () => {
  const file = join(root, 'file');
  fs.writeFileSync(file, 'precious');
  await assert.rejects(startApi({}, file), refusedWith('SOCKET_UNUSABLE', /not a socket/));
  assert.equal(fs.readFileSync(file, 'utf8'), 'precious');
  const long = join(root, 'x'.repeat(120));
  await assert.rejects(startApi({}, long), refusedWith('SOCKET_UNUSABLE', /too long/));
  const nowhere = join(root, 'no', 'folder', 's');
  await assert.rejects(startApi({}, nowhere), refusedWith('SOCKET_UNUSABLE', /ENOENT/));
});

test('an agent that answers with something else is reported, not believed', async () => {
  const answers = [
    'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"a":1,"a":2}',
    'HTTP/1.1 503 No\r\nConnection: close\r\n\r\n{}',
    `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"${'x'.repeat(LIMITS.localResponseBytesMax)}"`,
    'garbage',
    '',
  ];
  const seen: string[] = [];
  for (const answer of answers) {
    const socketPath = newPath();
    const server = createServer((socket) => {
      socket.on('error', () => {}); // the caller may leave in the middle of a long answer
      socket.once('data', () => socket.end(answer));
    });
    server.listen(socketPath);
    await once(server, 'listening');
    try {
      await callLocalApi(socketPath, 'GET', '/status');
    } catch (error) {
      assert.ok(error instanceof DroverError, String(error));
      seen.push(error.code);
    }
    server.close();
  }
  const gone: ErrorCode = 'ROBOT_NOT_RUNNING';
  assert.deepEqual(seen, ['JSON_INVALID', 'INTERNAL', 'DOCUMENT_TOO_LARGE', gone, gone]);
});

test('drover-robot unblock hands its version to the agent', async (t) => {
  const api = await startApi();
  const words = ['unblock', '1.4.2', '--root', root, '--socket', api.socketPath];
  const child = startDrover(t, 'robot-client', words);
  await child.exit;
  assert.deepEqual(child.ended, { code: 0, signal: null }, child.describe());
  assert.equal(child.stderr, '');
  assert.match(child.stdout, /1\.4\.2 may be tried again/);
  assert.deepEqual(api.calls, [['unblock', { version: '1.4.2' }]]);
  await api.close();
});
