import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
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

  it('opens only for technicians and publishers', async (t) => {
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

describe('the page', () => {
  it('comes in files of its own, as the documentation of the API does, and its policy allows those and nothing inline', async (t) => {
    const api = await startApi(t, { protected: true });
    const types = {
      ...{ '/': 'text/html', '/page.css': 'text/css', '/page.js': 'text/javascript' },
      ...{ '/docs': 'text/html', '/page.docs.css': 'text/css', '/page.docs.js': 'text/javascript' },
      '/page.svg': 'image/svg+xml',
    };
    for (const [path, type] of Object.entries(types)) {
      const response = await api.get(path);
      assert.equal(response.status, 200, path);
      assert.ok(response.headers.get('content-type')?.startsWith(type), path);
      const policy = response.headers.get('content-security-policy') ?? '';
      assert.match(policy, /script-src 'self'; style-src 'self'/);
      assert.match(policy, /require-trusted-types-for 'script'; trusted-types 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*|https?:|data:|sha256/);
      assert.ok((await response.text()).length > 100, path);
    }
  });

  it('has nothing that the policy would stop, and no way from text to markup', async (t) => {
    const api = await startApi(t, {});
    const read = async (path: string): Promise<string> => await (await api.get(path)).text();
    for (const path of ['/', '/docs']) {
      const html = await read(path);
      assert.doesNotMatch(html, /\son[a-z]+=|\sstyle=|javascript:|<style|<script>/);
      assert.doesNotMatch(html, /https?:/);
    }
    for (const path of ['/page.js', '/page.docs.js']) {
      const script = await read(path);
      assert.doesNotMatch(script, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/);
      assert.doesNotMatch(script, /localStorage|sessionStorage|document\.cookie/);
    }
    for (const path of ['/page.css', '/page.docs.css']) {
      assert.doesNotMatch(await read(path), /https?:|url\(|@import/);
    }
  });

  it('names only elements that it has', async (t) => {
    const api = await startApi(t, {});
    const [html, script] = await Promise.all(
      ['/', '/page.js'].map(async (path) => await (await api.get(path)).text()),
    );
    const ids = [...(html ?? '').matchAll(/ id="([a-z-]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, ids.length, 'each id once');
    assert.ok(ids.length > 30);
    for (const id of ids) {
      const isUsed = html?.split(`"${id}"`).length !== 2 || script?.includes(`"${id}"`);
      assert.ok(isUsed, `${id} is used by a label or by the script`);
    }
  });
});
