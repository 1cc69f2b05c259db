/** docs/http.md describes the routes that a broker has, and answers have the fields that it names. */

import assert from 'node:assert/strict';
import Fastify from 'fastify';
import { describe, it } from 'node:test';
import { Callers } from '../../../broker/http/callers.ts';
import { EventStream } from '../../../broker/http/event-stream.ts';
import { addRoutes, type HttpApiOptions } from '../../../broker/http/http-api.ts';
import { Fleet } from '../../../broker/control/fleet.ts';
import { HTTP_ROUTES, type HttpRoute } from '../../../docs/http-routes.ts';
import { startApi } from '../api.ts';
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

  it('says who may: without a token the door is open for what it calls anybody alone', async (t) => {
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
