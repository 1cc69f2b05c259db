/** docs/http.md describes the routes that a broker has, and answers have the fields that it names. */

import assert from 'node:assert/strict';
import Fastify from 'fastify';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { Callers } from '../../../broker/http/callers.ts';
import { EventStream } from '../../../broker/http/event-stream.ts';
import { addRoutes, type HttpApiOptions } from '../../../broker/http/http-api.ts';
import { Fleet } from '../../../broker/control/fleet.ts';
import { isPagePath } from '../../../broker/http/openapi.ts';
import { ROUTE_SCHEMAS } from '../../../broker/http/route-schemas.ts';
import { HTTP_ROUTES, type HttpRoute } from '../../../broker/http/route-table.ts';
import { repositoryFile } from '../../helpers/repository.ts';
import { startApi } from '../api.ts';
import { assertDescribed, type ApiDocument } from '../described-answers.ts';
import { AT_MS, makeState } from '../reports.ts';

/** Methods and paths that a broker with all parts registers. */
async function registered(): Promise<string[]> {
  const found: string[] = [];
  const app = Fastify();
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) if (one !== 'HEAD') found.push(`${one} ${url}`);
  });
  const part = new Proxy({}, { get: () => () => null });
  const callers = new Callers({ host: '127.0.0.1', credentials: null, isTls: false });
  addRoutes(app, part as HttpApiOptions, { events: new EventStream(), callers });
  await app.ready();
  await app.close();
  return found;
}

const keyOf = ({ method, path }: HttpRoute): string => `${method} ${path}`;

describe('the description of the HTTP API', () => {
  it('names every route, and none that is not there', async () => {
    assert.deepEqual(HTTP_ROUTES.map(keyOf).sort(), (await registered()).sort());
  });

  it('says of each answer which fields it has', async (t) => {
    const fleet = new Fleet();
    fleet.applyState(makeState('r1'), AT_MS);
    const api = await startApi(t, { fleet, rollouts: ['x-1'] });
    const asked = HTTP_ROUTES.filter(
      ({ method, path, answer }) =>
        method === 'GET' && typeof answer !== 'string' && path !== '/sessions',
    );
    assert.ok(asked.length > 8);
    for (const { path, answer } of asked) {
      const id = path.startsWith('/robots') ? 'r1' : 'x-1';
      const response = await api.get(path.replace(':id', id));
      assert.equal(response.status, 200, path);
      const keys = Object.keys((await response.json()) as object);
      const fields = answer as readonly string[];
      const always = fields.filter((field) => !field.endsWith('?'));
      const known = fields.map((field) => field.replace('?', ''));
      assert.deepEqual(
        always.filter((field) => !keys.includes(field)),
        [],
        path,
      );
      if (path.endsWith(':id')) continue; // those name the most important ones
      assert.deepEqual(
        keys.filter((key) => !known.includes(key)),
        [],
        path,
      );
    }
  });

  it('names each refusal that the code of an enrolment and of a renewal lists', async () => {
    const [code, bodies] = await Promise.all(
      ['broker/enrolment/enrolment.ts', 'shared/formats/http-api.ts'].map((path) =>
        readFile(repositoryFile(path), 'utf8'),
      ),
    );
    const listed = (text = '', name = ''): string[] => {
      const before = text.split(new RegExp(`\\n.*\\b${name}\\b(?:\\(| =)`))[0] ?? '';
      return before.slice(before.lastIndexOf('@throws')).match(/\b[A-Z]{3,}(?:_[A-Z]+)*\b/g) ?? [];
    };
    for (const [path, method, parse] of [
      ['/enrol', 'async claim', 'parseEnrolRequest'],
      ['/renew', 'async renew', 'parseRenewRequest'],
    ] as const) {
      const codes = [...listed(code, method), ...listed(bodies, parse), 'ENROLMENT_OFF'];
      assert.ok(codes.length > 12 && codes.includes('CSR_INVALID') && codes.includes('USAGE'));
      const named = HTTP_ROUTES.find((route) => route.path === path)?.refusals ?? [];
      const missing = codes.filter((one) => !named.some((known) => known === one));
      assert.deepEqual(missing, [], path);
    }
  });

  it('is served as OpenAPI 3.1 with the same routes, queries, bodies and fields of answers', async (t) => {
    const api = await startApi(t, { protected: true });
    const document = (await (await api.get('/v1/openapi.json')).json()) as ApiDocument;
    assert.equal(document.openapi, '3.1.0');
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((one) => `${one.toUpperCase()} ${path}`),
    );
    const routes = HTTP_ROUTES.filter(({ path }) => !isPagePath(path));
    const wanted = routes.map((one) => keyOf(one).replaceAll(/:([a-z]+)/g, '{$1}'));
    assert.deepEqual(described.sort(), wanted.sort());
    assert.deepEqual(
      Object.keys(ROUTE_SCHEMAS).filter((key) => !routes.some((one) => keyOf(one) === key)),
      [],
    );
    for (const route of routes) {
      const { query, body, answer } = ROUTE_SCHEMAS[keyOf(route)] ?? {};
      const taken = { ...query?.shape, ...(body instanceof z.ZodObject ? body.shape : {}) };
      assert.deepEqual(Object.keys(taken).sort(), [...(route.given ?? [])].sort(), keyOf(route));
      assert.equal(answer === undefined, typeof route.answer === 'string', keyOf(route));
      const isShort = route.path.endsWith('/:id'); // the page names the most important ones
      if (!(answer instanceof z.ZodObject) || isShort || typeof route.answer === 'string') continue;
      const named = route.answer.map((one) => one.replace('?', ''));
      const unknown = Object.keys(answer.shape).filter((one) => !named.includes(one));
      assert.deepEqual(unknown, [], keyOf(route));
    }
  });

  it('the check of answers that all these tests make finds one that is not as described', async () => {
    const wrong = [
      ['/robots', { robots: [{ robot_id: 'r1' }] }, 200],
      ['/v1/audit/head', { head: { seq: 1.5, hash: 'a' }, waiting: 0, problem: null }, 200],
      ['/rollouts/x-1/history', { entries: [], led: 'somewhere' }, 200],
      ['/nowhere', {}, 200],
      ['/robots', { code: 'NOT_FOUND' }, 404],
    ] as const;
    for (const [path, answer, status] of wrong) {
      await assert.rejects(assertDescribed(path, 'GET', Response.json(answer, { status })), path);
    }
    const right = Response.json({ head: null, waiting: 0, problem: null });
    await assertDescribed('/audit/head', 'GET', right);
  });

  it('serves each path below /v1 too, with the same rights, and no page there', async (t) => {
    const api = await startApi(t, { protected: true, rollouts: ['x-1'] });
    const { technician } = api.tokens;
    const ask = async (path: string, token = ''): Promise<number> =>
      (await api.get(path, { headers: token === '' ? {} : { authorization: `Bearer ${token}` } }))
        .status;
    assert.deepEqual(
      [await ask('/v1/rollouts'), await ask('/v1/rollouts', technician)],
      [401, 200],
    );
    assert.deepEqual([await ask('/v1/healthz'), await ask('/v1/audit', technician)], [200, 403]);
    for (const path of ['/v1', '/v1/', '/v1/page.js', '/v1/v1/rollouts', '/v2/rollouts']) {
      assert.equal(await ask(path, technician), 404, path);
    }
  });

  it('refuses a query by its schema, and a method that a path does not have', async (t) => {
    const api = await startApi(t, { rollouts: ['x-1'] });
    for (const path of [
      ...['/robots?limit=0', '/robots?online=maybe', '/robots/versions?limit=x', '/audit?after=-1'],
      ...['/rollouts/x-1/history?limit=1e3', '/rollouts/x-1/robots?state=done,gone'],
      '/rollouts/x-1/robots?state=done&state=failed',
    ]) {
      const response = await api.get(path);
      const { error } = (await response.json()) as { error: { code: string; message: string } };
      assert.deepEqual([response.status, error.code], [400, 'USAGE'], path);
      assert.match(error.message, /^read (?:limit|online|after|state) of the query: /, path);
    }
    assert.equal((await api.get('/robots?unknown=1')).status, 200);
    const wrong = await api.get('/v1/rollouts/x-1/pause');
    assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'POST']);
    const both = await api.get('/robots/r1/logs', { method: 'DELETE' });
    assert.deepEqual([both.status, both.headers.get('allow')], [405, 'GET, HEAD, POST']);
  });

  it('says who may call each route: without a token only routes for anybody answer', async (t) => {
    const api = await startApi(t, { protected: true, rollouts: ['x-1'] });
    for (const { method, path, who } of HTTP_ROUTES) {
      if (path === '/events' || path.startsWith('/sessions')) continue;
      const url = path.replace(':id', 'x-1');
      const ask = async (token?: string): Promise<number> => {
        const response = await api.get(url, {
          method,
          headers: {
            ...(method === 'POST' && { 'content-type': 'application/json' }),
            ...(token !== undefined && { authorization: `Bearer ${token}` }),
          },
          ...(method === 'POST' && { body: '{}' }),
        });
        await response.arrayBuffer();
        return response.status;
      };
      assert.equal((await ask()) === 401, who !== 'anybody', `${path} without a token`);
      const { technician, publisher, robot, metrics } = api.tokens;
      if (who !== 'anybody') assert.equal(await ask(robot), 403, `${path} as a robot`);
      const maySee = who === 'anybody' || who.startsWith('metrics');
      assert.equal((await ask(metrics)) === 403, !maySee, `${path} to be scraped`);
      const mayTechnician = who !== 'publisher' || path.endsWith('/pause');
      assert.equal((await ask(technician)) === 403, !mayTechnician, `${path} as a technician`);
      assert.notEqual(await ask(publisher), 403, `${path} as a publisher`);
    }
  });
});
