/** Signing in on the page over HTTP, with a real credentials file: cookies, CSRF, revocation. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FastifyRequest } from 'fastify';
import type { CredentialUserFields } from '../../../broker/access/credentials.ts';
import { hashPassword } from '../../../broker/access/passwords.ts';
import { Callers } from '../../../broker/http/callers.ts';
import type { ControllerPort } from '../../../broker/rollout/rollout-facts.ts';
import type { Speaker } from '../../../broker/rollout/rollout-view.ts';
import { LIMITS } from '../../../shared/base/limits.ts';
import { utf8 } from '../../../shared/crypto/bytes.ts';
import type { Scope } from '../../helpers/scope.ts';
import { startApi, type TestApi } from '../api.ts';

const PASSWORD = 'correct horse battery';
const hash = await hashPassword(utf8(PASSWORD));
const otherHash = await hashPassword(utf8('another one'));
const alice = (role: CredentialUserFields['role'] = 'publisher'): CredentialUserFields => ({
  ...{ username: 'alice', role, password_scrypt: hash },
});

interface Session {
  readonly cookie: string;
  readonly csrf: string;
}

const post = (api: TestApi, path: string, body: object, headers: object = {}): Promise<Response> =>
  api.get(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

async function signIn(api: TestApi, secret = PASSWORD, username = 'alice'): Promise<Session> {
  const response = await post(api, '/sign-in', { username, secret });
  assert.equal(response.status, 200, await response.clone().text());
  const cookie = response.headers.get('set-cookie')?.split(';', 1)[0] ?? '';
  const { csrf } = (await response.json()) as { csrf: string };
  return { cookie, csrf };
}

async function codeOf(response: Response): Promise<string> {
  const { error } = (await response.json()) as { error?: { code: string } };
  return `${response.status} ${error?.code ?? ''}`;
}

/** Records who steers. */
function recorder(): { port: ControllerPort; said: (Speaker & { command: string })[] } {
  const said: (Speaker & { command: string })[] = [];
  const port: ControllerPort = {
    command: (_id, command, by) => {
      said.push({ command, ...by });
      return Promise.resolve([]);
    },
    history: () => Promise.resolve([]),
    view: () => null,
    facts: () => null,
  };
  return { port, said };
}

const open = (scope: Scope, users = [alice()], controller: ControllerPort | null = null) =>
  startApi(scope, { protected: true, users, controller, rollouts: ['x-1'] });

describe('signing in', () => {
  it('takes a password, sets a cookie that no script reads, and says who it is', async (t) => {
    const api = await open(t);
    const response = await post(api, '/sign-in', { username: 'alice', secret: PASSWORD });
    const cookie = response.headers.get('set-cookie') ?? '';
    assert.match(
      cookie,
      /^drover-\d+=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    assert.doesNotMatch(await response.text(), new RegExp(cookie.slice(13, 50)));
    const headers = { cookie: cookie.split(';', 1)[0] ?? '' };
    assert.equal((await api.get('/robots', { headers })).status, 200);
    const user = (await (await api.get('/user', { headers })).json()) as Record<string, unknown>;
    assert.deepEqual([user['user'], user['role']], ['alice', 'publisher']);
    const nobody = (await (await api.get('/user')).json()) as Record<string, unknown>;
    assert.deepEqual([nobody['user'], nobody['needs_sign_in']], [null, true]);
  });

  it('takes a token with or without its user name', async (t) => {
    const api = await open(t);
    await signIn(api, api.tokens.technician, '');
    await signIn(api, api.tokens.technician, 'technician');
    const wrong = await post(api, '/sign-in', { username: 'x', secret: api.tokens.technician });
    assert.equal(await codeOf(wrong), '401 SIGN_IN_REFUSED');
  });

  it('refuses wrong secrets and robots, and never quotes a secret', async (t) => {
    const api = await open(t);
    const tries = [
      [{ username: 'alice', secret: 'wrong horse' }, '401 SIGN_IN_REFUSED'],
      [{ username: 'nobody', secret: PASSWORD }, '401 SIGN_IN_REFUSED'],
      [{ username: 'robot', secret: api.tokens.robot }, '403 ACCESS_DENIED'],
      [{ username: 'alice', secret: 'x'.repeat(2_000) }, '400 USAGE'],
      [{ username: 'alice', secret: { wrong: 'horse' } }, '400 USAGE'],
    ] as const;
    for (const [body, want] of tries) {
      const response = await post(api, '/sign-in', body);
      assert.doesNotMatch(await response.clone().text(), /horse|xxx/);
      assert.equal(response.headers.get('set-cookie'), null);
      assert.equal(await codeOf(response), want);
    }
  });

  it('leaves a line for each person who came in, and one for many who did not', async (t) => {
    const lines: string[] = [];
    const note = (facts: object, message: string): void =>
      void lines.push(`${message} ${JSON.stringify(facts)}`);
    const log = { debug: () => {}, info: note, warn: note, error: note };
    const api = await startApi(t, { protected: true, users: [alice()], log });
    for (let at = 0; at < 3; at += 1) {
      await post(api, '/sign-in', { username: 'alice', secret: 'wrong horse' });
    }
    await signIn(api);
    assert.deepEqual(
      lines.filter((one) => /sign/.test(one)),
      [
        'sign-in refused {"code":"SIGN_IN_REFUSED","from":"127.0.0.1"}',
        'signed in on the page {"user":"alice","role":"publisher","from":"127.0.0.1"}',
      ],
    );
  });

  it('waits after wrong attempts at a name, and lets others in meanwhile', async (t) => {
    const api = await open(t);
    const wrong = { username: 'alice', secret: 'A'.repeat(43) };
    for (let at = 0; at < LIMITS.signInTriesMax; at += 1) await post(api, '/sign-in', wrong);
    const response = await post(api, '/sign-in', { username: 'alice', secret: PASSWORD });
    assert.equal(await codeOf(response), '429 SIGN_IN_LIMITED');
    await signIn(api, api.tokens.technician, '');
    const bearer = { authorization: `Bearer ${api.tokens.publisher}` };
    assert.equal((await api.get('/robots', { headers: bearer })).status, 200);
  });

  it('is for a broker with users only', async (t) => {
    const api = await startApi(t, {});
    assert.equal(await codeOf(await post(api, '/sign-in', { secret: 'x' })), '400 USAGE');
    const user = (await (await api.get('/user')).json()) as Record<string, unknown>;
    assert.deepEqual([user['user'], user['needs_sign_in']], [null, false]);
  });
});

describe('a session', () => {
  it('steers rollouts under the name of its user, with its own token of the page', async (t) => {
    const { port, said } = recorder();
    const api = await open(t, [alice()], port);
    const { cookie, csrf } = await signIn(api);
    const pause = (headers: object): Promise<Response> =>
      post(api, '/rollouts/x-1/pause', { reason: 'line 2', by: 'mallory' }, { cookie, ...headers });
    assert.equal(await codeOf(await pause({})), '403 ACCESS_DENIED');
    assert.equal(
      await codeOf(await pause({ 'x-drover-csrf': 'x'.repeat(43) })),
      '403 ACCESS_DENIED',
    );
    const other = await signIn(api);
    const foreign = { 'x-drover-csrf': other.csrf };
    assert.equal(await codeOf(await pause(foreign)), '403 ACCESS_DENIED', 'of another session');
    assert.deepEqual(said, []);
    assert.equal((await pause({ 'x-drover-csrf': csrf })).status, 200);
    assert.deepEqual(said, [
      {
        ...{ command: 'pause', reason: 'line 2', wave: undefined },
        ...{ who: 'alice (mallory)', user: 'alice' },
      },
    ]);
  });

  it('is no session for a page of another origin, also where the token leaked', async (t) => {
    const { port, said } = recorder();
    const api = await open(t, [alice()], port);
    const { cookie, csrf } = await signIn(api);
    for (const site of ['cross-site', 'same-site']) {
      const headers = { cookie, 'sec-fetch-site': site };
      assert.equal((await api.get('/robots', { headers })).status, 401, site);
      const more = { ...headers, 'x-drover-csrf': csrf, origin: 'http://127.0.0.1:1' };
      assert.equal((await post(api, '/rollouts/x-1/pause', {}, more)).status, 401, site);
    }
    const origin = { cookie, 'x-drover-csrf': csrf, origin: 'http://127.0.0.1:1' };
    assert.equal((await post(api, '/rollouts/x-1/pause', {}, origin)).status, 403);
    const signing = { username: 'alice', secret: PASSWORD };
    const foreign = await post(api, '/sign-in', signing, { origin: 'https://evil.example' });
    assert.equal(await codeOf(foreign), '403 ACCESS_DENIED');
    assert.deepEqual(said, []);
  });

  it('has the rights of its role', async (t) => {
    const { port, said } = recorder();
    const api = await open(t, [alice('technician')], port);
    const { cookie, csrf } = await signIn(api);
    const headers = { cookie, 'x-drover-csrf': csrf };
    assert.equal((await post(api, '/rollouts/x-1/rollback', {}, headers)).status, 403);
    assert.equal((await post(api, '/rollouts/x-1/pause', {}, headers)).status, 200);
    assert.deepEqual(
      said.map(({ command }) => command),
      ['pause'],
    );
  });

  it('ends with sign-out and its event stream with it', async (t) => {
    const api = await open(t);
    const { cookie, csrf } = await signIn(api);
    const stream = await api.get('/events', { headers: { cookie } });
    assert.equal(stream.status, 200);
    const forged = await post(api, '/sign-out', {}, { cookie });
    assert.equal(await codeOf(forged), '403 ACCESS_DENIED');
    const out = await post(api, '/sign-out', {}, { cookie, 'x-drover-csrf': csrf });
    assert.match(out.headers.get('set-cookie') ?? '', /^drover-\d+=; Path=\/; Max-Age=0;/);
    assert.deepEqual(await out.json(), { signed_out: true });
    await stream.text();
    assert.equal((await api.get('/robots', { headers: { cookie } })).status, 401);
  });

  for (const [what, users] of [
    ['removed', []],
    ['given another role', [alice('technician')]],
    ['given another password', [{ ...alice(), password_scrypt: otherHash }]],
  ] as const) {
    it(`ends when its user is ${what}, and the event stream with it`, async (t) => {
      const api = await open(t);
      const { cookie } = await signIn(api);
      const stream = await api.get('/events', { headers: { cookie } });
      await api.changeUsers([alice()]);
      assert.equal((await api.get('/robots', { headers: { cookie } })).status, 200, 'unchanged');
      await api.changeUsers(users);
      await stream.text();
      assert.equal((await api.get('/robots', { headers: { cookie } })).status, 401);
    });
  }
});

describe('the cookie of a session', () => {
  it('is for TLS and for this host alone where the broker has a certificate', () => {
    const callers = new Callers({ host: '::', credentials: null, isTls: true });
    const request = { socket: { localPort: 8443 } } as FastifyRequest;
    const flags = 'Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure';
    assert.equal(callers.cookie(request, 'abc'), `__Host-drover-8443=abc; ${flags}`);
  });
});
