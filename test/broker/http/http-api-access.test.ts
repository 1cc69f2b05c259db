import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { Script } from 'node:vm';
import fc from 'fast-check';
import { DASHBOARD_HTML } from '../../../broker/http/dashboard/page.ts';
import { Fleet } from '../../../broker/control/fleet.ts';
import { startApi } from '../api.ts';
import { AT_MS, makeState } from '../reports.ts';

const CLOSED_ROUTES = [
  ...['/robots', '/robots/versions', '/robots/r1', '/rollouts', '/rollouts/x-1'],
  ...['/requests', '/events', '/metrics', '/nothing', '//', '/healthz/', '/%68ealthz'],
];

const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });

function fleetWithR1(): Fleet {
  const fleet = new Fleet();
  fleet.applyState(makeState('r1'), AT_MS);
  return fleet;
}

describe('a protected API', () => {
  it('tells nothing without a token, by any route', async (t) => {
    const api = await startApi(t, { protected: true, fleet: fleetWithR1(), rollouts: ['x-1'] });
    for (const path of CLOSED_ROUTES) {
      const response = await api.get(path);
      assert.equal(response.status, 401, path);
      assert.equal(response.headers.get('www-authenticate'), 'Bearer');
      const { error } = (await response.json()) as { error: { code: string; hint: string } };
      assert.equal(error.code, 'HTTP_UNAUTHORIZED');
      assert.match(error.hint, /Bearer/);
    }
  });

  it('opens for technicians and publishers, and for nobody else', async (t) => {
    const api = await startApi(t, { protected: true, fleet: fleetWithR1() });
    const statuses: Record<string, number> = {};
    for (const [role, token] of Object.entries(api.tokens)) {
      const response = await api.get('/robots/r1', bearer(token));
      await response.body?.cancel();
      statuses[role] = response.status;
    }
    assert.deepEqual(statuses, {
      ...{ technician: 200, publisher: 200, robot: 403, relay: 403, metrics: 403 },
    });
  });

  it('takes a token as a header of the Bearer scheme only', async (t) => {
    const api = await startApi(t, { protected: true });
    const { technician } = api.tokens;
    const basic = Buffer.from(`technician:${technician}`).toString('base64');
    for (const authorization of [
      technician,
      `Basic ${basic}`,
      `Bearer ${technician} x`,
      'Bearer',
    ]) {
      const response = await api.get('/robots', { headers: { authorization } });
      assert.equal(response.status, 401, authorization.slice(0, 8));
    }
    assert.equal((await api.get(`/robots?token=${technician}`)).status, 401);
    const lower = await api.get('/robots', { headers: { authorization: `bearer ${technician}` } });
    assert.equal(lower.status, 200, 'the name of a scheme has no case');
  });

  it('opens for no token that was not given out', async (t) => {
    const api = await startApi(t, { protected: true });
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[!-~]{1,64}$/), async (token) => {
        assert.equal((await api.get('/robots', bearer(token))).status, 401);
      }),
      { numRuns: 50 },
    );
  });

  it('shows the page and the health without one', async (t) => {
    const api = await startApi(t, { protected: true });
    assert.equal((await api.get('/')).status, 200);
    assert.equal((await api.get('/?a=b')).status, 200);
    assert.equal((await api.get('/healthz')).status, 200);
  });

  it('is open without credentials, as on loopback', async (t) => {
    const api = await startApi(t, { fleet: fleetWithR1() });
    assert.equal((await api.get('/robots/r1')).status, 200);
  });

  it('sends the headers that keep a browser careful, with every answer', async (t) => {
    const api = await startApi(t, { protected: true });
    const { technician } = api.tokens;
    for (const path of ['/', '/healthz', '/robots', '/nothing', '/metrics', '/events']) {
      const response = await api.get(path, bearer(technician));
      await response.body?.cancel();
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(response.headers.get('cache-control'), 'no-store', path);
      assert.equal(response.headers.get('x-powered-by'), null, path);
      assert.equal(response.headers.get('access-control-allow-origin'), null, path);
      if (path === '/events') continue; // a stream that no browser renders
      const policy = response.headers.get('content-security-policy') ?? '';
      assert.match(policy, /^default-src 'none';.*frame-ancestors 'none'$/, path);
    }
  });
});

describe('the dashboard', () => {
  const partOf = (tag: string): string => {
    const found = [...DASHBOARD_HTML.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, 'g'))];
    assert.equal(found.length, 1, tag);
    return found[0]?.[1] ?? '';
  };

  it('is allowed exactly its own script and style', async (t) => {
    const api = await startApi(t, {});
    const response = await api.get('/');
    assert.match(response.headers.get('content-type') ?? '', /^text\/html; charset=utf-8/);
    assert.equal(await response.text(), DASHBOARD_HTML);
    const policy = response.headers.get('content-security-policy') ?? '';
    for (const tag of ['script', 'style']) {
      const hash = createHash('sha256').update(partOf(tag)).digest('base64');
      assert.ok(policy.includes(`${tag}-src 'sha256-${hash}'`), tag);
    }
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  });

  it('has nothing that the policy would stop, and no way from text to markup', () => {
    const script = partOf('script');
    assert.doesNotThrow(() => new Script(script));
    assert.doesNotMatch(script, /innerHTML|outerHTML|insertAdjacent|document\.write|eval\(/);
    assert.doesNotMatch(script, /setAttribute|localStorage|document\.cookie/);
    const markup = DASHBOARD_HTML.replace(script, '').replace(partOf('style'), '');
    assert.doesNotMatch(markup, /\son[a-z]+=|\sstyle=|javascript:|\bsrc=|\bhref=/);
    assert.doesNotMatch(DASHBOARD_HTML, /https?:|url\(|@import/);
  });

  it('names only elements that the page has', () => {
    const wanted = [...partOf('script').matchAll(/\$\('([a-z]+)'\)/g)].map((match) => match[1]);
    assert.ok(wanted.length > 0);
    for (const id of wanted) assert.ok(DASHBOARD_HTML.includes(`id="${id}"`), id);
  });
});
